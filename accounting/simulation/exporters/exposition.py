"""What a scrape of one emitter answers at an instant, in the Prometheus text format."""

from collections.abc import Iterator

from accounting.simulation.exporters.catalog import (
    FAMILIES,
    cadvisor_series,
    kepler_series,
    state_metrics_series,
)
from accounting.simulation.exporters.emitters import Emitter
from accounting.simulation.exporters.labels import render
from accounting.simulation.exporters.series import Series, kind_of
from accounting.simulation.world.cluster import Cluster

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(cluster: Cluster, emitter: Emitter, instant: float) -> str:
    """The whole body of a scrape at the instant (epoch seconds), empty labels included."""
    lines: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for series in _spoken(cluster, emitter, instant):
        reading = series.reading_at(instant)
        if reading is not None:
            labels = render(series.labels, keep_empty=True)
            lines[series.family].append(f"{series.family}{{{labels}}} {reading}\n")
    return "".join(
        f"# TYPE {family} {kind_of(family)}\n{''.join(found)}"
        for family, found in lines.items()
        if found
    )


def _spoken(cluster: Cluster, emitter: Emitter, instant: float) -> Iterator[Series]:
    after = instant + 0.001
    if emitter.kind == "cadvisor":
        yield from cadvisor_series(cluster, instant, after, emitter.node)
        return
    if emitter.kind == "kepler":
        yield from kepler_series(cluster, instant, after, emitter.node)
        return
    for series in state_metrics_series(cluster, instant, after):
        if emitter.speaks_of(series):
            yield series
