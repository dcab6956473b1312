"""Modules, losses, initialisers and their functions, with PyTorch's names."""

if __name__ != "tinygrad_dl.nn":
    raise ImportError("this folder is the package tinygrad_dl.nn: write `from tinygrad_dl import nn`")
