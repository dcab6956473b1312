"""Reverse-mode autograd in pure Python over NumPy, with nn modules, optimizers, graph diagrams and a gradient-testing kit."""

import os

__version__ = "0.1.0"

# In a checkout nn/ and optim/ stand beside this folder; an installed package has them inside. Adding the
# checkout's root lets a plain clone import them, also when it shadows an installed wheel.
_root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if os.path.isfile(os.path.join(_root, "setup.cfg")) and os.path.isfile(os.path.join(_root, "nn", "module.py")):
    __path__.append(_root)

from tinygrad_dl.config import get_default_dtype, manual_seed, set_default_dtype
from tinygrad_dl.modes import enable_grad, is_grad_enabled, no_grad, strict_broadcast
from tinygrad_dl.op import OPS, op
from tinygrad_dl.tensor import Tensor, asarray

globals().update({_name: _op.function for _name, _op in OPS.items()})
