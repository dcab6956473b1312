"""How much of the array API standard's own test suite passes, beside NumPy: `make array-api SUITE=path`.

The suite is a checkout of data-apis/array-api-tests with its submodule; it is not part of this repository.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("numpy", "tinygrad_dl")


def run(
    suite: Path, module: str, examples: int, tests: Sequence[str] = ("array_api_tests",), seed: int = 0
) -> dict[str, str]:
    """The outcome of each test for a namespace."""
    environment = {**os.environ, "ARRAY_API_TESTS_MODULE": module, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "array_api_tests",
        "-q",
        "-rA",
        "--tb=no",
        "-p",
        "no:cacheprovider",
    ]
    command += [f"--max-examples={examples}", f"--hypothesis-seed={seed}"]
    output = subprocess.run(
        command, cwd=suite, env=environment, capture_output=True, text=True, check=False
    ).stdout
    outcomes = {}
    for outcome, test in re.findall(r"^(PASSED|FAILED|ERROR) (array_api_tests/.*?)(?: - .*)?$", output, re.M):
        outcomes[test] = outcome
    if not outcomes:
        sys.exit(f"array-api: the suite at {suite} did not run with {module}:\n{output[-2000:]}")
    return outcomes


def main() -> None:
    """Run the suite with NumPy and with tinygrad_dl; exit with 1 if a test fails with tinygrad_dl only."""
    if len(sys.argv) < 2 or not (Path(sys.argv[1]) / "array_api_tests").is_dir():
        sys.exit(
            "array-api: expected the path of a checkout of data-apis/array-api-tests: make array-api SUITE=path"
        )
    suite, examples = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    results = {module: run(suite, module, examples) for module in MODULES}
    for module, outcomes in results.items():
        passed = sum(outcome == "PASSED" for outcome in outcomes.values())
        print(f"{module:12} {passed:5} of {len(outcomes)} pass ({examples} examples per test)")
    failed = [
        {test for test, outcome in results[module].items() if outcome != "PASSED"} for module in MODULES
    ]
    alone = sorted(failed[1] - failed[0])
    # Some tests draw only one example: a test that NumPy fails with another example is not a difference.
    for seed in range(1, 21):
        if alone:
            again = run(suite, "numpy", examples, alone, seed)
            for test in [test for test in alone if again.get(test, "PASSED") != "PASSED"]:
                print(f"  fails with both, with NumPy for another example: {test}")
                alone.remove(test)
    for test in alone:
        print(f"  fails with tinygrad_dl only: {test}")
    if alone:
        sys.exit(1)


if __name__ == "__main__":
    main()
