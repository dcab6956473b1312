"""`python -m tinygrad_dl` is the command tinygrad-dl."""

from tinygrad_dl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
