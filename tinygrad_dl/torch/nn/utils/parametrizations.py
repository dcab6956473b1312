"""Orthogonal, spectrally and weight normalized parameters: the core's."""

from tinygrad_dl.nn.utils.parametrizations import *  # noqa: F403
