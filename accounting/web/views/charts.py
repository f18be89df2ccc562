"""Charts: stacked bars as SVG, for those without scripts and as files.

Files have the colours that are written here. In pages, the style sheet (``static/charts.css``) says
others, for both themes. Every page with a chart draws one, so it must take few milliseconds: pygal
needs 0.1 s for 13 series over 95 days.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap

from markupsafe import Markup, escape

SERIES = 12
"""So many have a colour of their own; what is beyond is one series, ``OTHERS``."""
OTHERS = "others"
_COLOURS = (
    *("#005faa", "#d9730d", "#2b8a57", "#8a4fbf", "#b8336a", "#1f9aa8", "#a07d00"),
    *("#5b6ee1", "#c2452d", "#4f7f1e", "#7a4b2a", "#d16ba5", "#6b7a89"),
)
_LINE_COLOUR, _TEXT_COLOUR = "#d5d9de", "#444c56"
_MOST_LABELS = 31
_MOST_LINES = 7
_DECIMALS = 6
_FULL = 100
"""From here on values are whole numbers."""
_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 960, 300, 70, 12, 885, 262
"""Of a picture, and of the place of its bars."""
_BAR, _WIDEST_BAR = 0.88, 96.0
"""How much of its place a bar fills, and how wide it is at most."""
_SMALL, _LARGE, _LINE = 12, 16, 20
"""Sizes of text, and the height of a line."""
_TITLE_CHARACTERS = 100
_LEGEND_CHARACTERS, _LEGEND_BESIDE = 110, 6
"""Of a file's legend: how many characters fit on a line, and how many a name has beside it."""


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


def bars(
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    unit: str,
    title: str,
) -> Markup:
    """Stacked bars, one per label, as a page shows them; its legend is beside it, as HTML.

    Args:
        labels: below the bars.
        series: (name, one value per label), at most ``SERIES`` of them and ``OTHERS``.
        unit: of the values, beside them on hover.
        title: what it shows, for who does not see it.
    """
    drawn = "".join(_plot(labels, [values for _, values in series], unit))
    said = f'role="img" aria-label="{escape(title)}"'
    view = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return Markup(f'<svg {said} class="bars" {view}>{drawn}</svg>')  # noqa: S704 - escaped


def file(
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    unit: str,
    title: str,
) -> str:
    """The same as a file, with title and legend."""
    titled = "".join(_title(wrap(title, _TITLE_CHARACTERS)))
    above = _LINE * (titled.count("<text") + 1)
    named, lines = _legend([name or "none" for name, _ in series])
    height = above + _HEIGHT + _LINE * (lines + 1)
    drawn = "".join(_plot(labels, [values for _, values in series], unit))
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
        f'<rect class="background" width="{_WIDTH}" height="{height}" fill="white"/>{titled}'
        f'<g transform="translate(0 {above})">{drawn}</g>'
        f'<g transform="translate({_LEFT} {above + _HEIGHT + _LINE})">{named}</g></svg>'
    )


def _plot(labels: Sequence[str], columns: Sequence[Sequence[float]], unit: str) -> Iterator[str]:
    """Lines, labels and bars."""
    highest = max(map(sum, zip(*columns, strict=True)), default=0.0) or 1.0
    yield f'<g transform="translate({_LEFT} {_TOP})" font-size="{_SMALL}" fill="{_TEXT_COLOUR}">'
    yield from _lines(highest, unit)
    place = _PLOT_WIDTH / len(labels)
    every = 1 if len(labels) <= _MOST_LABELS else len(labels) // SERIES
    for number in range(0, len(labels), every):
        middle = f'x="{(number + 0.5) * place:.1f}" y="{_PLOT_HEIGHT + 17}"'
        yield f'<text {middle} text-anchor="middle">{escape(labels[number])}</text>'
    below = [0.0] * len(labels)
    for number, values in enumerate(columns):
        yield f'<g class="serie-{number}" fill="{_COLOURS[number % len(_COLOURS)]}">'
        yield from _bars(labels, values, below, _PLOT_HEIGHT / highest, unit)
        yield "</g>"
        below = [sum(both) for both in zip(below, values, strict=True)]
    yield "</g>"


def _lines(highest: float, unit: str) -> Iterator[str]:
    """Lines across at round values, up to the highest."""
    step = 10.0 ** math.floor(math.log10(highest))
    step *= next(part for part in (0.2, 0.5, 1, 2) if highest / step / part <= _MOST_LINES)
    decimals = max(0, -math.floor(math.log10(step)))
    for number in range(math.floor(highest / step) + 1):
        y = f"{_PLOT_HEIGHT * (1 - number * step / highest):.1f}"
        said = f"{number * step:,.{decimals}f} {unit}"
        yield f'<path class="line" d="M0 {y}h{_PLOT_WIDTH}" stroke="{_LINE_COLOUR}"/>'
        yield f'<text x="-5" y="{y}" dy=".35em" text-anchor="end">{escape(said)}</text>'


def _bars(
    labels: Sequence[str],
    values: Sequence[float],
    below: Sequence[float],
    scale: float,
    unit: str,
) -> Iterator[str]:
    """The bars of one series, above what is below them; each says its value on hover."""
    place = _PLOT_WIDTH / len(labels)
    width = min(_WIDEST_BAR, _BAR * place)
    for number, (label, value, under) in enumerate(zip(labels, values, below, strict=True)):
        if value <= 0:
            continue
        x, y = (number + 0.5) * place - width / 2, _PLOT_HEIGHT - (under + value) * scale
        box = f'x="{x:.1f}" y="{y:.2f}" width="{width:.1f}" height="{value * scale:.2f}"'
        said = f"{label}: {value:,.{0 if value >= _FULL else 2}f} {unit}"
        yield f"<rect {box}><title>{escape(said)}</title></rect>"


def _title(lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        place = f'x="{_WIDTH // 2}" y="{number * _LINE}" text-anchor="middle"'
        yield f'<text class="title" {place} font-size="{_LARGE}">{escape(line)}</text>'


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """The names with their colours, in columns; and how many lines that takes."""
    longest = max(map(len, names)) + _LEGEND_BESIDE
    columns = max(1, min(len(names), _LEGEND_CHARACTERS // longest))
    drawn = []
    for number, name in enumerate(names):
        x, y = number % columns * _PLOT_WIDTH // columns, number // columns * _LINE
        key = f'width="12" height="12" fill="{_COLOURS[number % len(_COLOURS)]}"'
        text = f'<text x="17" y="10" font-size="{_SMALL}">{escape(name)}</text>'
        drawn.append(f'<g class="legend" transform="translate({x} {y})"><rect {key}/>{text}</g>')
    return "".join(drawn), -(-len(names) // columns)
