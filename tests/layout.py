"""How the repository is laid out: the tests that need to know read it here."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Import name -> folder, as setup.cfg maps it.
PACKAGES = {
    "tinygrad_dl": "tinygrad_dl",
    "tinygrad_dl.kernels": "tinygrad_dl/kernels",
    "tinygrad_dl.numpy_functions": "tinygrad_dl/numpy_functions",
    "tinygrad_dl.ops": "tinygrad_dl/ops",
    "tinygrad_dl.compiler": "tinygrad_dl/compiler",
    "tinygrad_dl.testing": "tinygrad_dl/testing",
    "tinygrad_dl.testing.frameworks": "tinygrad_dl/testing/frameworks",
    "tinygrad_dl.viz": "tinygrad_dl/viz",
    "tinygrad_dl.viz.graph": "tinygrad_dl/viz/graph",
    "tinygrad_dl.viz.formats": "tinygrad_dl/viz/formats",
    "tinygrad_dl.viz.plots": "tinygrad_dl/viz/plots",
    "tinygrad_dl.data": "tinygrad_dl/data",
    "tinygrad_dl.distributed": "tinygrad_dl/distributed",
    "tinygrad_dl.train": "tinygrad_dl/train",
    "tinygrad_dl.onnx": "tinygrad_dl/onnx",
    "tinygrad_dl.playground": "tinygrad_dl/playground",
    "tinygrad_dl.course": "examples/course",
    "tinygrad_dl.torch": "tinygrad_dl/torch",
    "tinygrad_dl.torch.amp": "tinygrad_dl/torch/amp",
    "tinygrad_dl.torch.autograd": "tinygrad_dl/torch/autograd",
    "tinygrad_dl.torch.backends": "tinygrad_dl/torch/backends",
    "tinygrad_dl.torch.cuda": "tinygrad_dl/torch/cuda",
    "tinygrad_dl.torch.distributed": "tinygrad_dl/torch/distributed",
    "tinygrad_dl.torch.distributions": "tinygrad_dl/torch/distributions",
    "tinygrad_dl.torch.nn": "tinygrad_dl/torch/nn",
    "tinygrad_dl.torch.nn.utils": "tinygrad_dl/torch/nn/utils",
    "tinygrad_dl.torch.optim": "tinygrad_dl/torch/optim",
    "tinygrad_dl.torch.utils": "tinygrad_dl/torch/utils",
    "tinygrad_dl.torch.utils.data": "tinygrad_dl/torch/utils/data",
    "tinygrad_dl.nn": "nn",
    "tinygrad_dl.nn.functional": "nn/functional",
    "tinygrad_dl.nn.functional.loss": "nn/functional/loss",
    "tinygrad_dl.nn.layers": "nn/layers",
    "tinygrad_dl.nn.utils": "nn/utils",
    "tinygrad_dl.optim": "optim",
}

# A module imports from its own room and the floors below it; rooms on one floor do not import each other.
# The roof of the engine, tinygrad_dl/__init__.py, gathers what is below it; it stands as "tinygrad_dl" alone.
FLOORS: list[list[set[str]]] = [
    [
        {
            "tinygrad_dl.errors",
            "tinygrad_dl.config",
            "tinygrad_dl.modes",
            "tinygrad_dl.backend",
            "tinygrad_dl.typing",
            "tinygrad_dl.signatures",
            "tinygrad_dl.pytree",
            "tinygrad_dl.directions",
            "tinygrad_dl.vocabulary",
            "tinygrad_dl.markup",
            "tinygrad_dl.distributed.world",
            "tinygrad_dl.distributed.mpi",
        }
    ],
    [{"tinygrad_dl.kernels"}],
    [{"tinygrad_dl.graph"}],
    [{"tinygrad_dl.convert", "tinygrad_dl.arguments"}],
    [
        {"tinygrad_dl.backward"},
        {"tinygrad_dl.op", "tinygrad_dl.codegen", "tinygrad_dl.dispatch", "tinygrad_dl.batching"},
    ],
    [{"tinygrad_dl.ops"}],
    [
        {
            "tinygrad_dl.methods",
            "tinygrad_dl.tensor",
            "tinygrad_dl.protocols",
            "tinygrad_dl.numpy_functions",
            "tinygrad_dl.creation",
            "tinygrad_dl.random",
            "tinygrad_dl.dtypes",
            "tinygrad_dl.fft",
            "tinygrad_dl.linalg",
        }
    ],
    [
        {
            "tinygrad_dl.autograd",
            "tinygrad_dl.func",
            "tinygrad_dl.levels",
            "tinygrad_dl.vmap",
            "tinygrad_dl.stateless",
            "tinygrad_dl.anomaly",
            "tinygrad_dl.files",
        }
    ],
    [{"tinygrad_dl.nn"}, {"tinygrad_dl.optim"}],
    [{"tinygrad_dl.optim.swa_utils"}],
    [{"tinygrad_dl"}],
    [{"tinygrad_dl.compiler"}],
    [{"tinygrad_dl.viz.graph"}, {"tinygrad_dl.viz.plots"}, {"tinygrad_dl.scripts"}],
    [{"tinygrad_dl.viz.formats"}],
    [{"tinygrad_dl.testing"}, {"tinygrad_dl.viz"}, {"tinygrad_dl.data"}, {"tinygrad_dl.distributed"}],
    [{"tinygrad_dl.train"}, {"tinygrad_dl.onnx"}, {"tinygrad_dl.torch"}],
    [{"tinygrad_dl.course"}, {"tinygrad_dl.playground"}],
    [{"tinygrad_dl.demo", "tinygrad_dl.environment"}],
    [{"tinygrad_dl.cli", "tinygrad_dl.commands", "tinygrad_dl.__main__"}],
]

# What the package's import may load besides the standard library.
HARD_DEPENDENCIES = {"numpy"}
ONLY_BACKEND_NAMES = "cupy"

# Loaded by a program that brings what they import.
PLUGINS = {"tinygrad_dl.testing.plugin": "pytest"}

# Made elsewhere and kept as it came; THIRD_PARTY.md has each file's origin, license and sha256.
VENDORED = ["tinygrad_dl/viz/formats/assets/viz-global.js"]

# Names that say nothing about what is inside.
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "stuff"}
# path -> reason
NAME_EXCEPTIONS = {
    **dict.fromkeys(
        ("nn/utils", "tinygrad_dl/torch/utils", "tinygrad_dl/torch/nn/utils"),
        "PyTorch's name, which its users import",
    ),
}


@cache
def files() -> list[str]:
    """The repository's files as Git knows them, new ones included, or all of them where there is no Git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return sorted(line for line in set(listed.stdout.splitlines()) if (ROOT / line).is_file())
    made = {"venv", "build", "dist", "runs", "_build", "__pycache__"}
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    found = [path for path in found if not any(p in made or p.startswith(".venv") for p in path.parts)]
    own = [path for path in found if path.parts[0] == ".ci" or not path.parts[0].startswith(".")]
    return sorted(path.as_posix() for path in own if ".egg-info" not in path.as_posix())
