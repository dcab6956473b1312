"""torch.utils.tensorboard: a writer that writes nothing; train.History keeps curves, and tg.viz plots them."""

from __future__ import annotations

from typing import Any


class SummaryWriter:
    """Accepts what programs record, and keeps nothing."""

    def __init__(self, log_dir: Any = None, *args: Any, **kwargs: Any) -> None:
        self.log_dir = log_dir

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    add_scalar = add_scalars = add_histogram = add_image = add_images = add_figure = add_text = add_graph = (
        _nothing
    )
    add_embedding = add_hparams = add_pr_curve = add_video = add_audio = flush = close = _nothing

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        pass
