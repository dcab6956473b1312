"""Reverse-mode autograd in pure Python over NumPy, with nn modules, optimizers, graph diagrams and a gradient-testing kit."""

import os

__version__ = "0.1.0"

# In a checkout nn/ and optim/ stand beside this folder; an installed package has them inside. Adding the
# checkout's root lets a plain clone import them, also when it shadows an installed wheel.
_root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if os.path.isfile(os.path.join(_root, "setup.cfg")) and os.path.isfile(os.path.join(_root, "nn", "module.py")):
    __path__.append(_root)
