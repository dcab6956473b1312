"""Working calls, one file for each group of public callables: `calls()` yields them (see tests/fuzz/harness.py)."""
