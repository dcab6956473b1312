"""What a learner takes home: the program, a notebook, the step written out in NumPy, the weights."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

import tinygrad_dl as tg
from tinygrad_dl.errors import CompileError, missing_extra
from tinygrad_dl.playground.program import notebook, program, title
from tinygrad_dl.playground.session import Session

FORMATS = ("program", "notebook", "numpy", "weights")


def export(session: Session, kind: str) -> dict[str, Any]:
    """One of `FORMATS` as a file: name, media type and content, which is base64 for weights."""
    if kind == "weights":
        content = base64.b64encode(weights(session)).decode()
        return {"name": "weights.safetensors", "media": "application/octet-stream", "base64": content}
    if kind == "notebook":
        text = notebook(session.config, session.step)
        return {"name": "playground.ipynb", "media": "application/json", "text": text}
    if kind == "numpy":
        return {"name": "step.py", "media": "text/x-python", "text": numpy_source(session)}
    return {"name": "playground.py", "media": "text/x-python", "text": program(session.config, session.step)}


def numpy_source(session: Session) -> str:
    """The training step as NumPy, from the compiler; before a step was captured, the text says what to do."""
    try:
        source: str = session.space["step"].source
    except CompileError:
        return "# Take a few steps first: the training step is written out once it has run.\n"
    return f"# One training step of {title(session.config)} in NumPy\n{source}"


def weights(session: Session) -> bytes:
    """The weights as a safetensors file, which `model.load_state_dict(tg.load(path))` reads."""
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise missing_extra("safetensors", "train", "saving weights") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        tg.save(session.model.state_dict(), path)
        return path.read_bytes()
