"""Sequences of different lengths: padding and packing."""

from __future__ import annotations

import inspect

from tinygrad_dl.nn.utils import rnn as core
from tinygrad_dl.torch.boundary import function

PackedSequence = core.PackedSequence

for _name, _f in vars(core).items():
    if inspect.isfunction(_f) and not _name.startswith("_") and _f.__module__ == core.__name__:
        globals()[_name] = function(_f)
__all__ = ["PackedSequence", *[n for n in dict(globals()) if n.startswith(("pack", "pad", "un"))]]
