"""The documentation of each release beside that of the working tree: `make site`.

The site has a folder for each version (a release is a tag such as v0.2.0), `latest` for the working tree, and a list
of them from which the pages' menu is made. Set DOCS_URL to the address at which it will be published.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "docs" / "_build" / "site"
BUILT = ROOT / "docs" / "_build" / "versions"
LATEST = "latest"

INDEX = """\
<!DOCTYPE html>
<meta charset="utf-8">
<title>tinygrad_dl</title>
<meta http-equiv="refresh" content="0; url={newest}/index.html">
<a href="{newest}/index.html">tinygrad_dl {newest}</a>
"""


def releases(tags: list[str]) -> list[str]:
    """The tags that are releases, newest first; those before a release, such as v1.0rc1, are none."""
    found = [tag for tag in tags if re.fullmatch(r"v\d+(\.\d+)*", tag)]
    return sorted(found, key=lambda tag: [int(n) for n in tag[1:].split(".")], reverse=True)


def index(versions: list[str]) -> dict[str, str]:
    """The files beside the folders of the versions, of which the first is the newest release, or the working tree."""
    address = os.environ.get("DOCS_URL", "http://localhost:8000/").rstrip("/")
    names = ", ".join(f'"{version}"' for version in versions)
    return {
        "index.html": INDEX.format(newest=versions[0]),
        "versions.js": f"window.VERSIONS = [{names}];\n",
        "robots.txt": f"User-agent: *\nAllow: /\nSitemap: {address}/{versions[0]}/sitemap.xml\n",
    }


def build(tree: Path, version: str) -> None:
    """Build the pages of a tree, with the environment of this one."""
    setup = configparser.ConfigParser()
    setup.read(tree / "setup.cfg", encoding="utf-8")
    for line in setup["options"]["package_dir"].split("\n"):
        package, _, folder = (part.strip() for part in line.partition("="))
        path = tree.joinpath(*package.split("."))  # linked as an editable install does it
        if folder and not os.path.lexists(path):
            path.symlink_to(tree / folder, target_is_directory=True)
    address = os.environ.get("DOCS_URL", "http://localhost:8000/").rstrip("/")
    made = (
        BUILT / version
    )  # Sphinx and the notebooks leave files beside the pages, which are not part of the site
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-A", f"docs_version={version}"]
        + ["-d", str(made / "doctrees"), str(tree / "docs"), str(made / "html")],
        check=True,
        cwd=tree,
        env={**os.environ, "DOCS_URL": f"{address}/{version}/", "PYTHONPATH": str(tree)},
    )
    shutil.rmtree(SITE / version, ignore_errors=True)
    shutil.copytree(made / "html", SITE / version)


def main() -> None:
    listed = subprocess.run(["git", "tag"], check=True, cwd=ROOT, capture_output=True, text=True)
    tags = releases(listed.stdout.split())
    for tag in tags:
        if not (SITE / tag / "index.html").exists():  # a release does not change
            with tempfile.TemporaryDirectory() as folder:
                tree = Path(folder, "tree")
                subprocess.run(["git", "worktree", "add", "--detach", tree, tag], check=True, cwd=ROOT)
                try:
                    build(tree, tag)
                finally:
                    subprocess.run(["git", "worktree", "remove", "--force", tree], check=True, cwd=ROOT)
    build(ROOT, LATEST)
    for name, text in index([*tags, LATEST]).items():
        (SITE / name).write_text(text, encoding="utf-8")
    print(f"site: {SITE / 'index.html'}, versions {', '.join([*tags, LATEST])}")


if __name__ == "__main__":
    main()
