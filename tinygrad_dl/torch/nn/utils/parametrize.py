"""Parametrizations of parameters: the core's."""

from tinygrad_dl.nn.utils.parametrize import *  # noqa: F403
