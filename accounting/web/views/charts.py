"""Charts: drawn by pygal on the server, as SVG that takes its colours from our style sheet.

pygal puts its style and script elements into the picture, which the pages' policy refuses, and
rightly. They are taken out; ``static/charts.css`` says the same for both themes.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pygal
from markupsafe import Markup, escape
from pygal import Config, StackedBar
from pygal.style import Style

# It takes part in every import, to find maps that we do not draw, by a protocol that Python left.
sys.meta_path = [f for f in sys.meta_path if not isinstance(f, pygal.PluginImportFixer)]

SERIES = 12
"""So many have a colour of their own; what is beyond is one series, ``OTHERS``."""
OTHERS = "others"
_COLOURS = (
    *("#005faa", "#d9730d", "#2b8a57", "#8a4fbf", "#b8336a", "#1f9aa8", "#a07d00"),
    *("#5b6ee1", "#c2452d", "#4f7f1e", "#7a4b2a", "#d16ba5", "#6b7a89"),
)
"""Of pictures that leave the pages; the style sheet has those of the pages."""
_MOST_LABELS = 31
_DECIMALS = 6
_FULL = 100
"""From here on values are whole numbers."""
_STYLE = Style(
    font_family="inherit",
    label_font_size=14,
    major_label_font_size=14,
    value_font_size=12,
    no_data_font_size=16,
)
_FILE_STYLE = Style(
    colors=_COLOURS,
    background="white",
    plot_background="white",
    opacity="1",
    font_family="sans-serif",
    label_font_size=12,
    major_label_font_size=12,
    legend_font_size=13,
)
_LEGEND_CHARACTERS, _LEGEND_BESIDE, _LEGEND_LINE = 110, 6, 20
"""Of a file's legend: how many characters fit on a line, how many of them a name has beside it, and
the height of a line."""
_REFUSED = frozenset({"style", "script", "desc"})
_DROPPED = ("tooltip", "title", "no_data")


def ranked(sums: Mapping[str, float], rank: int = 0) -> list[str]:
    """The names of ``SERIES`` series, the largest first.

    Args:
        sums: name → what it comes to.
        rank: place of the first of them.
    """
    return sorted(sums, key=lambda name: (-sums[name], name))[rank : rank + SERIES]


def rest(whole: Sequence[float], named: Iterable[Sequence[float]]) -> list[float]:
    """What is left of a whole beside some series; rounding leaves nothing below zero."""
    left = (total - sum(values) for total, *values in zip(whole, *named, strict=True))
    return [max(0.0, round(value, _DECIMALS)) for value in left]


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
    drawn = _drawn(_config(labels), _STYLE, series, unit)
    drawn.add_xml_filter(_ours)
    picture = drawn.render(is_unicode=True, disable_xml_declaration=True)
    said = f'<svg role="img" aria-label="{escape(title)}" '
    return Markup(picture.replace("<svg ", said, 1))  # noqa: S704 - pygal escapes what it draws


def file(
    labels: tuple[str, ...],
    series: tuple[tuple[str, tuple[float, ...]], ...],
    *,
    unit: str,
    title: str,
) -> str:
    """The same as a file: with its own colours, title and legend, and without scripts."""
    config = _config(labels)
    config.title = title
    _legend_below(config, [name for name, _ in series])
    config.explicit_size = True  # else it is as large as what shows it, or not at all
    config.css = Config().css  # without it, all of it is black
    drawn = _drawn(config, _FILE_STYLE, series, unit)
    drawn.add_xml_filter(_without_scripts)
    return str(drawn.render(is_unicode=True))


class _Bars(StackedBar):  # type: ignore[misc] # pygal has no types
    """Bars that tell their values on hover without pygal's script."""

    def _tooltip_data(self, node: Any, value: str, *place: Any) -> None:
        label = place[-1]
        self.svg.node(node, "title").text = f"{label}: {value}" if label else value


def _drawn(
    config: Config, style: Style, series: Sequence[tuple[str, Sequence[float]]], unit: str
) -> StackedBar:
    drawn = _Bars(config, style=style)
    drawn.value_formatter = lambda value: f"{value:,.{0 if value >= _FULL else 2}f} {unit}"
    for name, values in series:
        drawn.add(name or "none", [round(value, 4) or None for value in values])
    return drawn


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


def _legend_below(config: Config, names: Sequence[str]) -> None:
    """Makes room for all names, however long and many they are."""
    longest = max(map(len, names)) + _LEGEND_BESIDE
    columns = max(1, min(len(names), _LEGEND_CHARACTERS // longest))
    lines = -(-len(names) // columns)
    config.show_legend, config.legend_at_bottom, config.truncate_legend = True, True, -1
    config.legend_at_bottom_columns = columns
    config.height = 440 + lines * _LEGEND_LINE
    if len(names) % columns:
        config.margin_bottom = _LEGEND_LINE  # pygal leaves room for lines that are full


def _without_scripts(root: Any) -> Any:
    for parent in list(root.iter()):
        for child in list(parent):
            if isinstance(child.tag, str) and child.tag.rpartition("}")[2] == "script":
                parent.remove(child)
    return root


def _ours(root: Any) -> Any:
    """The picture without what a strict policy refuses, and without what a script would show."""
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str):
                continue
            name = child.tag.rpartition("}")[2]
            is_dropped = any(word in _DROPPED for word in child.get("class", "").split())
            is_other = name == "title" and parent.get("class") != "bar"
            if name in _REFUSED or is_dropped or is_other:
                parent.remove(child)
    return root
