"""The installed versions, extras and layout engines, and how to install what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import textwrap
from typing import Any

import numpy as np

from tinygrad_dl import __file__ as location
from tinygrad_dl import __version__

# extra -> (what it is for, its packages as pip and as Python name them)
EXTRAS: dict[str, tuple[str, dict[str, str]]] = {
    "train": (
        "the command, progress bars, saved weights",
        {"rich": "rich", "click": "click", "safetensors": "safetensors"},
    ),
    "data": (
        "bundled data sets, downloads",
        {"pandas": "pandas", "Pillow": "PIL", "scikit-learn": "sklearn", "pooch": "pooch", "h5py": "h5py"},
    ),
    "viz": (
        "plots and graph diagrams",
        {"matplotlib": "matplotlib", "graphviz": "graphviz", "pygraphviz": "pygraphviz"},
    ),
    "fast": ("native code for compiled steps", {"llvmlite": "llvmlite"}),
    "onnx": ("exports to ONNX", {"onnx": "onnx"}),
    "web": (
        "the playground in the browser",
        {
            "starlette": "starlette",
            "uvicorn": "uvicorn",
            "websockets": "websockets",
            "click": "click",
            "safetensors": "safetensors",
            "scikit-learn": "sklearn",
            "pandas": "pandas",
        },
    ),
    "search": ("hyperparameter search", {"optuna": "optuna"}),
    "parquet": ("data sets in Parquet files", {"pyarrow": "pyarrow"}),
    "mpi": ("training on several processes", {"mpi4py": "mpi4py"}),
    "postgresql": ("searches on a database", {"psycopg": "psycopg"}),
    "dask": ("searches on a cluster", {"distributed": "distributed"}),
    "tensorboard": ("training in TensorBoard", {"tensorboard": "tensorboard"}),
    "mlflow": ("training in MLflow", {"mlflow-skinny": "mlflow", "pandas": "pandas"}),
    "test": (
        "testing gradients and this package",
        {"pytest": "pytest", "hypothesis": "hypothesis", "playwright": "playwright"},
    ),
}
# Extras that most do not need: they are shown, and not recommended.
UNASKED = ("test", "parquet", "mpi", "postgresql", "dask", "tensorboard", "mlflow")


def version_of(package: str, module: str) -> str | None:
    """The installed version of a package, or None."""
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def examine() -> dict[str, Any]:
    """Versions, extras with their packages, layout engines, and the commands that install what is missing."""
    from tinygrad_dl.viz.formats.graphviz import available

    extras = {
        extra: {package: version_of(package, module) for package, module in packages.items()}
        for extra, (_, packages) in EXTRAS.items()
    }
    engines = available()
    missing = [
        extra for extra, packages in extras.items() if extra not in UNASKED and None in packages.values()
    ]
    advice = []
    if missing:
        root = os.path.dirname(os.path.dirname(os.path.abspath(location)))
        is_checkout = os.path.isfile(os.path.join(root, "setup.cfg"))
        extras_text = f"[{','.join(missing)}]"
        advice.append(
            f'pip install -e "{root}{extras_text}"'
            if is_checkout
            else f'pip install "tinygrad_dl{extras_text}"'
        )
    if not engines and "viz" not in missing:
        advice.append("install Graphviz, such as: apt install graphviz, or brew install graphviz")
    return {
        "tinygrad_dl": __version__,
        "location": os.path.dirname(location),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "numpy": np.__version__,
        "blas": _blas(),
        "extras": extras,
        "layout_engines": engines,
        "install": advice,
    }


def _blas() -> str:
    """The BLAS library that NumPy was built with."""
    try:
        built: Any = np.show_config(mode="dicts")
        blas = built["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except (KeyError, TypeError):
        return "unknown"


def as_json() -> str:
    """The result of examine() as JSON."""
    return json.dumps(examine(), indent=2)


def as_text() -> str:
    """The result of examine() as text, as wide as the terminal."""
    found, width = examine(), max(20, shutil.get_terminal_size((200, 24)).columns)
    lines = [
        f"tinygrad_dl  {found['tinygrad_dl']}  in {found['location']}",
        f"Python       {found['python']}  {found['executable']}",
        f"NumPy        {found['numpy']}  BLAS: {found['blas']}",
        f"machine      {found['platform']}, {found['cores']} cores",
        "",
        "Extras",
    ]
    for extra, packages in found["extras"].items():
        mark = (
            "ok     "
            if None not in packages.values()
            else "missing"
            if not any(packages.values())
            else "partial"
        )
        each = ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items())
        lines += [f"  {extra:<11} {mark:<7}  {EXTRAS[extra][0]}", f"{'':23}{each}"]
    engines = ", ".join(found["layout_engines"])
    lines += [
        "",
        f"Graph layout engines: {engines or 'none, so diagrams cannot be saved as SVG, PNG or PDF'}",
        "",
        "To install what is missing:"
        if found["install"]
        else "Everything is installed."
        if None not in found["extras"]["test"].values()
        else "Everything is installed but the extra test, which only tests need.",
    ]
    lines = [line for long in lines for line in _wrapped(long, width)]
    # Commands are not broken, so that they can be copied.
    return "\n".join([*lines, *(f"  {command}" for command in found["install"])])


def _wrapped(line: str, width: int) -> list[str]:
    """A line as several that fit, between words, below the column in which its text begins."""
    start = re.match(r" +\w+ +\w+ {2,}|\w+ {2,}| *", line)
    column = start.end() if start is not None and start.end() < width / 2 else 2
    return textwrap.wrap(
        line, width, subsequent_indent=" " * column, break_long_words=False, break_on_hyphens=False
    ) or [""]
