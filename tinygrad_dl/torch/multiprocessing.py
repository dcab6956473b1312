"""torch.multiprocessing: Python's own; Tensors are copied from process to process."""

from multiprocessing import *  # noqa: F403
