"""torch.cuda.amp: see torch.amp."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.torch.amp import GradScaler as GradScaler
from tinygrad_dl.torch.amp import autocast as _autocast
from tinygrad_dl.torch.amp import custom_bwd as custom_bwd
from tinygrad_dl.torch.amp import custom_fwd as custom_fwd


class autocast(_autocast):
    """Nothing."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: Any = None) -> None:
        super().__init__()
