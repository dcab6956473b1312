"""Training on several processes: who this one is, and what they exchange, by MPI."""

from tinygrad_dl.distributed.exchange import all_reduce, barrier, gather
from tinygrad_dl.distributed.gradients import Reducer
from tinygrad_dl.distributed.parameters import average_gradients, broadcast
from tinygrad_dl.distributed.world import World, world

__all__ = [
    "Reducer",
    "World",
    "all_reduce",
    "average_gradients",
    "barrier",
    "broadcast",
    "gather",
    "world",
]
