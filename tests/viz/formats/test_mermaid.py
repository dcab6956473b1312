"""Mermaid: labels without syntax."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_dl.viz.formats.mermaid import escaped


@given(st.text(max_size=80))
def test_mermaid_labels_hold_no_syntax(text: str) -> None:
    assert re.fullmatch(r"(?:[\w .,=()\u2190\u00d7+\-]|#\d+;|<br/>)*", escaped(text))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1. layer", "1#46; layer"),
        ("12) x", "12#41; x"),
        ("- x", "#45; x"),
        ("+", "#43;"),
        ("a\n- b\n3.", "a<br/>#45; b<br/>3#46;"),
        ("===", "#61;=="),
        ("    code", "#32;   code"),
        ("# x", "#35; x"),
        ("0.1", "0.1"),
        ("3 x", "3 x"),
        ("(3, 4) x-y", "(3, 4) x-y"),
    ],
)
def test_no_label_begins_as_a_list_of_markdown(text: str, written: str) -> None:
    assert escaped(text) == written
