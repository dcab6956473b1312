"""The steps in tinygrad_dl."""

import tinygrad_dl as tg
from benchmarks.steps.models import cases

CASES = cases(tg.nn, tg.optim, tg.asarray, lambda x: tg.Tensor(x, requires_grad=True))
