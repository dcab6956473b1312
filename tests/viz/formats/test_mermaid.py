"""Mermaid: labels without syntax."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tinygrad_dl.viz.formats.mermaid import escaped


@given(st.text(max_size=80))
def test_mermaid_labels_hold_no_syntax(text: str) -> None:
    assert re.fullmatch(r"(?:[\w .,=()\u2190\u00d7+\-]|#\d+;|<br/>)*", escaped(text))
