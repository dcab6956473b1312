"""The compiler: a training step, or any function of Tensors, captured once and run as one program from then on."""

from tinygrad_dl.compiler.compiled import Compiled, compile
from tinygrad_dl.errors import CompileError

__all__ = ["CompileError", "Compiled", "compile"]
