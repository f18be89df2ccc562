"""Pictures of the last runs: step times as bars, drawn by pygal as SVG."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import pygal
from pygal.style import Style

from hub.monitor.result import Run

# pygal looks for its plugins in a way that Python gave up; every later import would warn of it.
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]

# Told apart in grey and by the colour-blind too (after Okabe and Ito), on light and dark.
_COLOURS = ("#8a8f98", "#3b8ed0", "#e69f00", "#1f9e77", "#b07aa1")
_STYLE = Style(
    background="transparent",
    plot_background="transparent",
    foreground="currentColor",
    foreground_strong="currentColor",
    foreground_subtle="currentColor",
    colors=_COLOURS,
    font_family="inherit",
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=14,
)
_MOST = 24


def step_times(runs: Sequence[Run], title: str) -> str:
    """SVG of how long each step took in the last runs; works without scripts.

    Args:
        runs: the newest first.
        title: read aloud instead of the picture.
    """
    shown = list(reversed(runs[:_MOST]))
    names = list(dict.fromkeys(name for run in shown for name, _ in run.steps))
    chart = pygal.StackedBar(
        style=_STYLE,
        js=[],
        show_legend=True,
        legend_at_bottom=True,
        height=320,
        width=900,
        margin=8,
        x_label_rotation=45,
        show_minor_x_labels=True,
        disable_xml_declaration=True,
        value_formatter=lambda seconds: f"{seconds:.1f} s",
        no_data_text="no runs yet",
        explicit_size=False,
    )
    chart.x_labels = [f"{datetime.fromtimestamp(run.began_at, UTC):%d %H:%M}" for run in shown]
    for name in names:
        chart.add(name, [dict(run.steps).get(name) for run in shown])
    svg = str(chart.render(is_unicode=True))
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
