"""Charts: drawn by pygal on the server, as SVG that takes its colours from our style sheet.

pygal puts its style and script elements into the picture, which the pages' policy refuses, and
rightly. They are taken out; ``static/charts.css`` says the same for both themes.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pygal
from markupsafe import Markup, escape
from pygal import Config, StackedBar
from pygal.style import Style

# It takes part in every import, to find maps that we do not draw, by a protocol that Python left.
sys.meta_path = [f for f in sys.meta_path if not isinstance(f, pygal.PluginImportFixer)]

SERIES = 6
"""So many colours can be told apart; what is beyond is one series of its own."""
OTHERS = "others"
_MOST_LABELS = 31
_STYLE = Style(
    font_family="inherit",
    label_font_size=14,
    major_label_font_size=14,
    value_font_size=12,
    no_data_font_size=16,
)
_REFUSED = frozenset({"style", "script"})
_DROPPED = ("tooltip", "title", "no_data")


def top(found: Mapping[str, Sequence[float]], most: int = SERIES) -> dict[str, list[float]]:
    """The largest series, and the sum of the others.

    Args:
        found: name → values, all of one length.
        most: how many series there may be at the end.
    """
    order = sorted(found, key=lambda name: (-sum(found[name]), name))
    if len(order) <= most:
        return {name: list(found[name]) for name in order}
    kept = {name: list(found[name]) for name in order[: most - 1]}
    rest = [found[name] for name in order[most - 1 :]]
    return {**kept, OTHERS: [sum(values) for values in zip(*rest, strict=True)]}


@lru_cache(maxsize=128)
def bars(
    labels: tuple[str, ...],
    series: tuple[tuple[str, tuple[float, ...]], ...],
    *,
    unit: str,
    title: str,
) -> Markup:
    """Stacked bars, one per label. Drawing takes longer than all else of a page: it is kept.

    Args:
        labels: below the bars.
        series: (name, one value per label), at most ``SERIES`` of them.
        unit: of the values, beside them on hover.
        title: what it shows, for who does not see it.
    """
    drawn = StackedBar(_config(labels), style=_STYLE)
    drawn.value_formatter = lambda value: f"{value:,.4g} {unit}"
    drawn.add_xml_filter(_ours)
    for name, values in series:
        drawn.add(name, [round(value, 4) or None for value in values])
    picture = drawn.render(is_unicode=True, disable_xml_declaration=True)
    said = f'<svg role="img" aria-label="{escape(title)}" '
    return Markup(picture.replace("<svg ", said, 1))  # noqa: S704 - pygal escapes what it draws


def _config(labels: Sequence[str]) -> Config:
    config = Config()
    config.width, config.height = 960, 300
    config.show_legend = False  # beside it, as HTML
    config.margin, config.margin_top, config.spacing = 4, 12, 8
    config.x_labels = labels
    config.x_labels_major_every = 1 if len(labels) <= _MOST_LABELS else len(labels) // 12
    config.show_minor_x_labels = False
    config.truncate_label = -1
    config.css, config.js = [], []
    return config


def _ours(root: Any) -> Any:
    """The picture without what a strict policy refuses, with hover texts that need no script."""
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str):
                continue
            name = child.tag.rpartition("}")[2]
            words = child.get("class", "").split()
            if name in _REFUSED or name == "title" or any(word in _DROPPED for word in words):
                parent.remove(child)
            elif name == "desc":
                _hover(parent, child, words)
    return root


def _hover(parent: Any, child: Any, words: Sequence[str]) -> None:
    """Pygal keeps a bar's value beside it for its script; a title is shown by the browser."""
    if "value" in words:
        child.tag = child.tag.replace("desc", "title")
        child.attrib.clear()
        label = next((c.text for c in parent if c.get("class") == "x_label"), "")
        child.text = f"{label}: {child.text}" if label else child.text
    else:
        parent.remove(child)
