"""torch.backends: flags that may be set and change nothing."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any


class _Flags(SimpleNamespace):
    def is_available(self) -> bool:
        """False."""
        return False

    is_built = is_available

    def version(self) -> None:
        """None."""

    def flags(self, *args: Any, **kwargs: Any) -> Any:
        """Nothing, until the end of the block."""
        return nullcontext()

    sdp_kernel = flags


cudnn = _Flags(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
cuda = _Flags(matmul=_Flags(allow_tf32=False, allow_fp16_reduced_precision_reduction=False))
mps, mkl, mkldnn, openmp, xeon = _Flags(), _Flags(), _Flags(enabled=False), _Flags(), _Flags()

for _name in ("cudnn", "cuda", "mps", "mkl", "mkldnn"):  # import torch.backends.cudnn as cudnn
    sys.modules[f"{__name__}.{_name}"] = globals()[_name]
