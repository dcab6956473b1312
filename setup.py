"""Editable installs that editors and type checkers can follow; everything else is in setup.cfg.

The folders nn/, optim/ and examples/course/ belong to the package `tinygrad_dl` but are not inside its folder.
By default setuptools maps them with an import hook, which only a running Python can follow. Here they are linked
into place (tinygrad_dl/nn -> nn), and .editable/, which holds a link to tinygrad_dl/ and nothing else, goes on
the path: every tool sees an ordinary package. The links are to folders, so they never go out of date.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
SEARCH_PATH = ".editable"
WINDOWS = os.name == "nt"


def link(path: Path, folder: Path) -> None:
    """Make `path` a link to a folder: a junction on Windows, where symbolic links need a privilege."""
    if path.exists() and path.samefile(folder):
        return
    if os.path.lexists(path):
        # A link to somewhere else goes; a folder of files raises, and stays.
        (os.rmdir if WINDOWS else os.unlink)(path)
    path.parent.mkdir(exist_ok=True)
    if WINDOWS:
        import _winapi

        _winapi.CreateJunction(str(folder), str(path))
    else:
        path.symlink_to(os.path.relpath(folder, path.parent), target_is_directory=True)


class EditableWheel(editable_wheel):
    """An editable install by links, or by setuptools' import hook where there can be none."""

    def run(self) -> None:
        if self.mode is None:
            try:
                link(ROOT / SEARCH_PATH / "tinygrad_dl", ROOT / "tinygrad_dl")
                for package, folder in sorted(self.distribution.package_dir.items()):
                    link(ROOT.joinpath(*package.split(".")), ROOT / folder)
            except OSError as error:
                self.warn(f"editors will not find tinygrad_dl.nn and tinygrad_dl.optim: {error}")
            else:
                self.distribution.package_dir = self.package_dir = {"": SEARCH_PATH}
        super().run()


setup(cmdclass={"editable_wheel": EditableWheel})
