"""Check gradients: gradcheck, the backward doctor, and Hypothesis strategies."""
