"""Layers and losses as modules, one file per subject; `tinygrad_dl.nn` has them all by name."""
