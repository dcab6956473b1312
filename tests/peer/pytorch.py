"""PyTorch, for the tests that are compared with it and take something from another test module.

Without PyTorch that module is skipped, and pytest leaves it half imported: nothing can be taken from it. So this import
comes first, and skips them.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch, which is compared with, is not installed")
