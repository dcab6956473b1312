"""PyTorch's names over this engine: tests that run without PyTorch."""
