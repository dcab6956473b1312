"""The package in every form of distribution: wheel, sdist, editable install, plain clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.layout import HARD_DEPENDENCIES, PACKAGES, PLUGINS, ROOT, files

# Imports all three folders and shows that there is one copy of each.
LOOK = """
import sys
import tinygrad_dl, tinygrad_dl.nn, tinygrad_dl.optim
from tinygrad_dl import nn, optim
assert nn is tinygrad_dl.nn and nn.__name__ == "tinygrad_dl.nn" and optim.__name__ == "tinygrad_dl.optim"
assert "nn" not in sys.modules and "optim" not in sys.modules
print(tinygrad_dl.__version__)
print(tinygrad_dl.__file__)
print(nn.__file__)
"""


def run(python: Path | str, code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter without the environment variables of this one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    return subprocess.run(
        [str(python), "-c", code],
        cwd=cwd,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )


def look(python: Path | str, cwd: Path, **environment: str) -> tuple[str, Path, Path]:
    """Import the package in a directory. Returns its version, its file and the file of its nn."""
    done = run(python, LOOK, cwd, **environment)
    assert done.returncode == 0, done.stderr
    version, package, nn = done.stdout.splitlines()
    return version, Path(package).resolve(), Path(nn).resolve()


def pip(*arguments: str | Path, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a `wheel`, `sdist` or `editable` wheel with this environment's setuptools, offline."""
    found = [d.version for d in distributions(name="setuptools")]
    if not found or int(found[0].split(".")[0]) < 77:
        pytest.skip("the package is built with setuptools 77 or newer (extra test)")
    target.mkdir(exist_ok=True)
    code = f"import sys, setuptools.build_meta as meta; print('=' + meta.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-W", "error::setuptools.SetuptoolsDeprecationWarning", "-c", code, str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    name = next(line[1:] for line in done.stdout.splitlines() if line.startswith("="))
    return target / name


def new_environment(folder: Path) -> Path:
    """A virtual environment that has NumPy, linked from this one, and nothing else; its interpreter."""
    import numpy

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=600)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = Path(run(python, "import sysconfig; print(sysconfig.get_path('purelib'))", folder).stdout.strip())
    installed = Path(numpy.__file__).parent.parent
    for path in [installed / "numpy", *installed.glob("numpy-*.dist-info"), *installed.glob("numpy.libs")]:
        (site / path.name).symlink_to(path)
    return python


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository as in a clone, so that builds leave no files in this one."""
    clone = tmp_path_factory.mktemp("clone") / "repository"
    for path in files():
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, clone / path)
    return clone


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with NumPy and the wheel, which has no other dependency."""
    python = new_environment(tmp_path_factory.mktemp("installed") / "venv")
    pip("--python", python, "install", "--quiet", "--no-index", wheel, cwd=wheel.parent)
    return python


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with NumPy alone."""
    return new_environment(tmp_path_factory.mktemp("bare") / "venv")


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    modules = {
        f"{package.replace('.', '/')}/{path.name}"
        for package, folder in PACKAGES.items()
        for path in (ROOT / folder).glob("*.py")
    }
    shipped = names_in(wheel)
    assert {name for name in shipped if name.endswith(".py")} == modules
    assert "tinygrad_dl/py.typed" in shipped
    assert {name.split("/")[0] for name in shipped} == {"tinygrad_dl"}


def test_the_wheel_holds_every_asset(wheel: Path) -> None:
    assets = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tinygrad_dl").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert assets <= names_in(wheel), "name the file in package_data of setup.cfg"


def test_the_wheel_carries_license_readme_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        records = {
            name.split(".dist-info/")[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    assert records["licenses/LICENSE"] == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "tinygrad-dl = tinygrad_dl.cli:main" in records["entry_points.txt"]
    metadata = records["METADATA"]
    assert "Requires-Python: >=3.10" in metadata
    assert (ROOT / "README.md").read_text(encoding="utf-8") in metadata
    hard = [
        line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert hard == ["Requires-Dist: numpy>=2"]


def test_every_extra_of_all_is_in_all_and_torch_only_in_peer(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(
            archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")
        )
    extras = {line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra")}
    own = {"fast", "viz", "train", "data", "search", "onnx", "web"}
    beyond = {
        "parquet",
        "mpi",
        "postgresql",
        "dask",
        "tensorboard",
        "mlflow",
    }  # clusters, servers, large data
    assert extras == own | beyond | {"all", "test", "docs", "peer", "dev"}
    torch = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: torch")]
    assert len(torch) == 1 and 'extra == "peer"' in torch[0]


def test_the_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(tmp_path, filter="data")
        else:
            archive.extractall(tmp_path)
    (unpacked,) = tmp_path.iterdir()
    again = build("wheel", unpacked, tmp_path / "again")
    assert again.name == wheel.name
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        for name in names_in(wheel) | names_in(again):
            assert first.read(name) == second.read(name), name


def test_the_installed_wheel_works_from_any_directory(installed: Path, tmp_path: Path) -> None:
    import tinygrad_dl

    version, package, nn = look(installed, tmp_path)
    assert version == tinygrad_dl.__version__
    assert package.parent / "nn" == nn.parent
    assert ROOT not in package.parents


def test_the_installed_wheel_works_from_the_root_of_a_clone(installed: Path, source: Path) -> None:
    _, package, nn = look(installed, source)
    # The working directory precedes installed packages, so the whole package is imported from the clone.
    assert package == (source / "tinygrad_dl" / "__init__.py").resolve()
    assert nn == (source / "nn" / "__init__.py").resolve()


def test_the_installed_command_runs_or_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    command = installed.parent / "tinygrad-dl"
    done = subprocess.run(
        [command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "tinygrad_dl" in done.stdout if done.returncode == 0 else "pip install" in done.stderr


def test_an_editable_install_works_from_any_directory(source: Path, tmp_path: Path) -> None:
    checkout = shutil.copytree(
        source, tmp_path / "checkout", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    python = new_environment(tmp_path / "venv")
    link = build("editable", checkout, tmp_path / "link")
    pip("--python", python, "install", "--quiet", "--no-index", link, cwd=tmp_path)
    for cwd in (tmp_path, checkout):
        _, package, nn = look(python, cwd)
        assert package == (checkout / "tinygrad_dl" / "__init__.py").resolve()
        assert nn == (checkout / "nn" / "__init__.py").resolve()


def test_a_plain_clone_works_with_numpy_alone(source: Path, bare: Path, tmp_path: Path) -> None:
    assert look(bare, source)[1] == (source / "tinygrad_dl" / "__init__.py").resolve()
    _, package, nn = look(bare, tmp_path, PYTHONPATH=str(source))
    assert package == (source / "tinygrad_dl" / "__init__.py").resolve()
    assert nn == (source / "nn" / "__init__.py").resolve()


@pytest.mark.parametrize("folder", ["nn", "optim"])
def test_importing_a_folder_from_the_root_says_what_to_import(folder: str, source: Path, bare: Path) -> None:
    said = run(bare, f"import {folder}", source).stderr.splitlines()[-1]
    package = f"ImportError: this folder is the package tinygrad_dl.{folder}:"
    assert said == f"{package} write `from tinygrad_dl import {folder}`"


def test_wheel_and_sdist_carry_the_version_of_the_package(wheel: Path, sdist: Path) -> None:
    import tinygrad_dl

    assert wheel.name == f"tinygrad_dl-{tinygrad_dl.__version__}-py3-none-any.whl"
    assert sdist.name == f"tinygrad_dl-{tinygrad_dl.__version__}.tar.gz"


def test_the_import_loads_numpy_and_the_standard_library_only() -> None:
    code = (
        "import sys, numpy.random; before = set(sys.modules); import tinygrad_dl;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = run(sys.executable, code, ROOT)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) - sys.stdlib_module_names <= HARD_DEPENDENCIES | {"tinygrad_dl"}


def test_every_module_imports_with_numpy_alone_or_names_the_extra_it_needs(
    bare: Path, tmp_path: Path
) -> None:
    names = [
        f"{package}.{path.stem}"
        for package, folder in PACKAGES.items()
        for path in sorted((ROOT / folder).glob("*.py"))
        if not path.stem.startswith("__") and f"{package}.{path.stem}" not in PLUGINS
    ]
    code = (
        f"import importlib\nfor name in {names}:\n    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n        print(name, type(error).__name__, error, sep='|')"
    )
    done = run(bare, code, tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert re.search(r'\|MissingExtraError\|.*pip install "tinygrad_dl\[\w+\]"', line), line


COUNT = """
import sys
count = 0
def tick(frame, event, argument):
    global count
    count += event in ("call", "c_call")
sys.setprofile(tick)
import {module}
sys.setprofile(None)
print(count)
"""


def calls_of_import(python: Path, module: str, cwd: Path) -> int:
    """How many calls an import makes, of Python's functions and of built-in ones, what it imports included."""
    code = COUNT.format(module=module)
    assert run(python, code, cwd).returncode == 0  # writes the bytecode, if there is none
    return int(run(python, code, cwd).stdout)


def test_the_import_makes_at_most_twice_as_many_calls_as_numpys(installed: Path, tmp_path: Path) -> None:
    numpy, ours = (calls_of_import(installed, module, tmp_path) for module in ("numpy", "tinygrad_dl"))
    assert numpy < ours <= 2 * numpy
