"""Write docs/courses.md from measured figures, on stdin.

tinygrad-dl course --all --data FOLDER --json | python docs/courses_table.py
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "courses.md"

HEAD = """\
# The courses' results

This page compares the figures printed by the notebooks of the Deep Learning Specialization with those of the same
experiments here, in float64:

```sh
tinygrad-dl course                       # the experiments
tinygrad-dl course planar_flower         # one of them
tinygrad-dl course --all --data FOLDER   # all; FOLDER has the course's files
```

Each experiment is a short script in `examples/course/`, installed as the package `tinygrad_dl.course`, which says
in its first lines which seeds, orders of draws and formulas are the course's. The cats (`train_catvnoncat.h5`,
`test_catvnoncat.h5`) and the football field (`data.mat`) come with the course and are not distributed here; without
`--data` their experiments are left out. The exit code is 1 if a figure differs.

*Same*: equal in every digit printed there; percents, which the notebooks round or cut off, to less than one of the
last digit. *Chaotic*: rounding decides, as the script shows by ranges over starts that differ by one part in
1e9; copies of the notebook from different machines differ as much.

The tables below were written by a run of the command. The tests check that the column *published* is what the
scripts compare with, and train each network far enough to reproduce the first figures under *measured*.
"""


def text(results: dict[str, Any]) -> str:
    """The page for the results that the command prints with --json."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [HEAD, f"Measured with {versions}; data and weights by the seeds in the scripts.\n"]
    lines.append("## Figures that the notebooks print\n")
    further = False
    for experiment in results["experiments"]:
        script = import_module(f"tinygrad_dl.course.{experiment['name']}")
        if not hasattr(script, "PUBLISHED") and not further:
            further = True
            lines.append("## Further experiments\n")
            lines.append(
                "What the courses describe without figures, on data that ships. Each leaves a picture.\n"
            )
        lines.append(f"### {script.TITLE}\n")
        lines.append(f"`tinygrad-dl course {experiment['name']}`, {experiment['seconds']:.0f} s.\n")
        published = hasattr(script, "PUBLISHED")
        lines.append("| result | published | measured | |" if published else "| result | measured |")
        lines.append("|---|---|---|---|" if published else "|---|---|")
        for row in experiment["rows"]:
            cells = (row["name"], row["published"], row["shown"], row["verdict"])
            lines.append("| " + " | ".join(cells if published else cells[::2]) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(text(json.load(sys.stdin)), encoding="utf-8")
