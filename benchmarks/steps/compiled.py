"""The steps in tinygrad_dl, compiled to native code."""

from functools import partial

from benchmarks.steps.compiled_numpy import compiled
from benchmarks.steps.ours import CASES as EAGER

CASES = {name: partial(compiled, make, "llvm") for name, make in EAGER.items()}
