"""Charts as files, drawn by pygal. In pages, ``static/charts.js`` draws them."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pygal
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
"""Of files; the style sheet has those of the pages."""
_MOST_LABELS = 31
_DECIMALS = 6
_FULL = 100
"""From here on values are whole numbers."""
_STYLE = Style(
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


def file(
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    unit: str,
    title: str,
) -> str:
    """Stacked bars as SVG, one per label, with title and legend.

    Args:
        labels: below the bars.
        series: (name, one value per label), at most ``SERIES`` of them and ``OTHERS``.
        unit: of the values, beside them on hover.
        title: what it shows.
    """
    names = [name or "none" for name, _ in series]
    drawn = _Bars(_config(labels, names), title=title, style=_STYLE)
    drawn.value_formatter = lambda value: f"{value:,.{0 if value >= _FULL else 2}f} {unit}"
    for name, (_, values) in zip(names, series, strict=True):
        drawn.add(name, [round(value, 4) or None for value in values])
    drawn.add_xml_filter(_without_scripts)
    return str(drawn.render(is_unicode=True))


class _Bars(StackedBar):  # type: ignore[misc] # pygal has no types
    """Bars that tell their values on hover without pygal's script."""

    def _tooltip_data(self, node: Any, value: str, *place: Any) -> None:
        label = place[-1]
        self.svg.node(node, "title").text = f"{label}: {value}" if label else value


def _config(labels: Sequence[str], names: Sequence[str]) -> Config:
    """Makes room for all names, however long and many they are."""
    longest = max(map(len, names)) + _LEGEND_BESIDE
    columns = max(1, min(len(names), _LEGEND_CHARACTERS // longest))
    lines = -(-len(names) // columns)
    return Config(
        width=960,
        height=440 + lines * _LEGEND_LINE,
        explicit_size=True,  # else it is as large as what shows it, or not at all
        margin=4,
        margin_top=12,
        # pygal leaves room for lines that are full
        margin_bottom=_LEGEND_LINE if len(names) % columns else None,
        spacing=8,
        x_labels=labels,
        x_labels_major_every=1 if len(labels) <= _MOST_LABELS else len(labels) // 12,
        show_minor_x_labels=False,
        truncate_label=-1,
        legend_at_bottom=True,
        legend_at_bottom_columns=columns,
        truncate_legend=-1,
        js=[],
    )


def _without_scripts(root: Any) -> Any:
    for parent in list(root.iter()):
        for child in list(parent):
            if isinstance(child.tag, str) and child.tag.rpartition("}")[2] == "script":
                parent.remove(child)
    return root
