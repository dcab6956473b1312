"""Optimizers and learning-rate schedules, with PyTorch's names."""

if __name__ != "tinygrad_dl.optim":
    raise ImportError("this folder is the package tinygrad_dl.optim: write `from tinygrad_dl import optim`")
