"""Loss functions by kind of target; `tinygrad_dl.nn.functional` has them all by name."""
