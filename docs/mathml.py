"""Formulas as MathML, which browsers render natively: pages load no script from the network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError


def _visit(display: bool) -> Any:
    def visit(self: Any, node: Any) -> None:
        text = node.astext()
        try:
            made = tex2mathml(text, as_block=display)
        except Exception as error:  # docutils raises several kinds
            raise ExtensionError(f"{node.source}:{node.line}: no MathML for {text!r}: {error}") from error
        self.body.append(f'<div class="math">{made}</div>' if display else made)
        raise nodes.SkipNode

    return visit


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_visit(False), None), (_visit(True), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
