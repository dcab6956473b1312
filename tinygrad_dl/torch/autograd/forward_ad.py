"""Forward mode: left out of this layer; torch.func.jvp has it."""
