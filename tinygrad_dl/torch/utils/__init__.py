"""torch.utils: data, checkpoint."""

from tinygrad_dl.torch.utils import checkpoint as checkpoint
from tinygrad_dl.torch.utils import data as data
