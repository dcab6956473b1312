"""SVG that is readable on light and on dark pages: colors for both inside the file, or those of the page around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from tinygrad_dl import markup

SVG = "http://www.w3.org/2000/svg"
LINK = "http://www.w3.org/1999/xlink"
SHAPES = ("path", "polygon", "ellipse", "polyline")

TEXT, LABEL, EDGE = (
    "#14181b",
    "#4a545c",
    "#5b6770",
)  # in boxes; on edges; of edges, as formats/dot.py draws them
FIXED = "#14181c"  # text in a box whose color has a meaning, which dark pages keep: as good as TEXT
BOUNDARY = "#9a86b8"  # of modules

# Color on a light page -> color on a dark one.
DARK_FILLS = {
    "#ffffff": "#22282e",
    "#cfe4f5": "#123a57",
    "#d5efe3": "#0f3f30",
    "#f0f0ee": "#33373b",
    "#e3ddf3": "#3a2d63",
    "#fde3c4": "#54380d",
    "#fbdcc9": "#5c2410",
    "#ece5f4": "#35294a",
    "#fdf0c2": "#4a3d09",
}
DARK_LINES = {
    EDGE: "#9aa7b3",
    BOUNDARY: "#9a86b8",
    "#1f6fa8": "#6db3e3",
    "#0b7a57": "#4cc79e",
    "#8a8a86": "#a5a5a0",
    "#5a3d8f": "#b39ddb",
    "#a35b00": "#f0a648",
    "#b23b00": "#ff8a5c",
    "#6b4a9a": "#b898e0",
    "#a27500": "#e0b93f",
    "#b8860b": "#e3b341",
    "#6e2400": "#ff8a5c",
}
DARK_TEXT = {TEXT: "#e6edf3", LABEL: "#b6c2cc"}
LIGHT_PAGE, DARK_PAGE = "#14181b", "#e6edf3"  # text that is outside of boxes


def _style() -> str:
    rules = [f'text[fill="{light}"]{{fill:{dark}}}' for light, dark in DARK_TEXT.items()]
    shapes = ":is(path,polygon,ellipse,polyline)"
    rules += [f'{shapes}[fill="{light}"]{{fill:{dark}}}' for light, dark in DARK_FILLS.items()]
    rules += [f'[stroke="{light}"]{{stroke:{dark}}}' for light, dark in DARK_LINES.items()]
    # Arrowheads are filled with the color of their line.
    rules += [f'.edge polygon[fill="{light}"]{{fill:{dark}}}' for light, dark in DARK_LINES.items()]
    return (
        f"svg{{color:{LIGHT_PAGE}}}text:not([fill]){{fill:currentColor}}"
        f"@media (prefers-color-scheme:dark){{svg{{color:{DARK_PAGE}}}{''.join(rules)}}}"
    )


STYLE = _style()


def themed(svg: bytes) -> bytes:
    """A picture of Graphviz with colors for light and for dark pages."""
    if b"<g " not in svg:
        return svg  # nothing is drawn
    root = _parsed(svg.decode())
    style = ElementTree.Element(f"{{{SVG}}}style")
    style.text = STYLE
    root.insert(0, style)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + _written(root).encode()


PLOT_STYLE = (
    '@media (prefers-color-scheme:dark){[style*="fill: #ffffff"]{fill:none!important}'
    f'[style*="stroke: #000000"]{{stroke:{DARK_PAGE}!important}}[id^="text_"],text{{fill:{DARK_PAGE}}}'
    # Lines and areas of matplotlib in hues that are lighter.
    '[style*="fill: #0072b2"]{fill:#56b4e9!important}[style*="stroke: #0072b2"]{stroke:#56b4e9!important}}'
)


def plotted(svg: str) -> str:
    """A picture of matplotlib with a transparent background and light lines for dark pages."""
    return re.sub(r"(<svg[^>]*>)", lambda found: f"{found[1]}<style>{PLOT_STYLE}</style>", svg, count=1)


def embedded(svg: str, words: str) -> str:
    """A picture of Graphviz as HTML for a page whose colors are not known, such as a notebook's.

    Boxes have their own background. What is outside of them has the page's color of text. It is as wide as it is
    drawn, so that it can be read: a wide one scrolls. `words`: what a screen reader says.
    """
    root = _parsed(svg)
    for link in list(root.iter(f"{{{SVG}}}a")):
        # It has a tooltip and leads nowhere; a page would underline and color it.
        title = ElementTree.Element(f"{{{SVG}}}title")
        title.text = link.attrib.pop(f"{{{LINK}}}title", "")
        link.tag = f"{{{SVG}}}g"
        link.insert(0, title)
    for text in root.iter(f"{{{SVG}}}text"):
        if text.get("fill") in (None, LABEL):
            text.set("fill", "currentColor")
    for group in _groups(root, "edge"):
        for shape in _shapes(group):
            for attribute in ("fill", "stroke"):
                if shape.get(attribute) == EDGE:
                    shape.set(attribute, "currentColor")
    root.set("style", "max-width:none")
    root.set("role", "img")
    root.set("aria-label", words)
    width = _pixels(root.get("width", "0"))
    hint = markup.paragraph(markup.soft("the diagram is wider: scroll sideways →")) if width > 700 else ""
    return f'{hint}<div style="overflow-x:auto;max-width:100%" tabindex="0">{_written(root)}</div>'


def _parsed(svg: str) -> ElementTree.Element:
    """The SVG element, in which all colors have one form, and text says what it is on."""
    root = ElementTree.fromstring(re.sub(r"^.*?(?=<svg)", "", svg, count=1, flags=re.DOTALL))
    for element in root.iter():
        for attribute in ("fill", "stroke"):
            color = element.get(attribute, "").lower()
            if color in ("white", "transparent"):
                element.set(attribute, "#ffffff" if color == "white" else "none")
    for group in _groups(root, "node"):
        fills = [shape.get("fill", "none") for shape in _shapes(group)]
        opaque = next((fill for fill in fills if fill != "none"), None)
        for text in group.iter(f"{{{SVG}}}text"):
            if opaque is None and text.get("fill") == TEXT:
                text.set("fill", LABEL)  # a number is on the page itself
            elif opaque not in DARK_FILLS and text.get("fill") == TEXT:
                text.set("fill", FIXED)
    return root


def _groups(root: ElementTree.Element, kind: str) -> Iterator[ElementTree.Element]:
    return (g for g in root.iter(f"{{{SVG}}}g") if kind in g.get("class", "").split())


def _shapes(group: ElementTree.Element) -> Iterator[ElementTree.Element]:
    return (element for element in group.iter() if element.tag.rpartition("}")[2] in SHAPES)


def _written(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", LINK)
    return ElementTree.tostring(root, encoding="unicode")


def _pixels(length: str) -> float:
    """A length of Graphviz in pixels of CSS."""
    found = re.match(r"([\d.]+)(pt|px)?", length)
    return float(found[1]) * (4 / 3 if found[2] == "pt" else 1) if found else 0.0
