"""Mistakes that a type checker finds: each line marked `wrong` is an error. Nothing runs it."""

import numpy as np

import tinygrad_dl as tg

array = np.ones(2)
tg.exp(array).backward()  # wrong: an array in is an array out
tg.sum(tg.ones(2), axs=0)  # wrong: no such option
tg.exp()  # wrong: the input is missing
tg.Tensro([1.0])  # wrong: no such name
