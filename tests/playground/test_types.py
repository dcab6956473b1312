"""The types of the page's JavaScript, as its comments state them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.layout import ROOT
from tinygrad_dl.playground.recording import MODULES, PAGE


def test_typescript_finds_no_error_in_the_page(tmp_path: Path) -> None:
    own = ROOT / ".venv" / "typescript" / "node_modules" / ".bin" / "tsc"
    checker = shutil.which("tsc") or shutil.which(own)
    if checker is None:
        pytest.skip("TypeScript is not installed: npm install --prefix .venv/typescript typescript")
    options = {
        "allowJs": True,
        "checkJs": True,
        "noEmit": True,
        "strict": True,
        "target": "esnext",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["esnext", "dom", "dom.iterable"],
        "types": [],
    }
    config = tmp_path / "tsconfig.json"
    config.write_text(json.dumps({"compilerOptions": options, "include": [f"{PAGE.as_posix()}/*.js"]}))
    ran = subprocess.run(
        [checker, "--pretty", "false", "-p", str(config)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_every_module_is_checked_and_in_recordings() -> None:
    files = {path.stem: path.read_text(encoding="utf-8") for path in PAGE.glob("*.js")}
    assert set(files) == set(MODULES)
    assert all("// @ts-check" in text for text in files.values())
