"""The playground: build a network in the browser, train it live, look inside, take the program home.

`tinygrad-dl playground` starts it. What a page shows is computed by `Session`, for a `Config`.
"""

from tinygrad_dl.playground.program import program
from tinygrad_dl.playground.session import Session
from tinygrad_dl.playground.state import Config, Layer

__all__ = ["Config", "Layer", "Session", "program"]
