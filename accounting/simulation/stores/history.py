"""The past of a cluster as samples: OpenMetrics files, Prometheus blocks, imports elsewhere."""

import os
import subprocess
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor, inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import httpx

from accounting.simulation.exporters.catalog import by_family
from accounting.simulation.exporters.emitters import Emitter
from accounting.simulation.exporters.labels import attach, render
from accounting.simulation.exporters.series import Series, kind_of
from accounting.simulation.stores.programs import ProgramError, find_program
from accounting.simulation.world.cluster import Cluster

BLOCK = "162h"
"""Longest block that promtool may make: it reads the whole file again for each block."""

CHUNK_CHARACTERS = 4_000_000

BLOCK_HOURS = (2, 6, 18, 54)
SAMPLES_PER_FILE = 5_000_000
SERIES_PER_POD = 30

PARALLEL = 2
"""promtools at the same time in `populate`; each reads with one core."""

COLLECT_LESS = "400"
"""promtool's GOGC: a fifth faster for a sixth more memory."""


class _Selection(TypedDict):
    """What `write_openmetrics` writes of the cluster."""

    interval_seconds: float | None
    families: Collection[str] | None


@dataclass(frozen=True, slots=True)
class _Scrapes:
    """One emitter's scrape times in a period: milliseconds, and as the text that ends a line."""

    emitter: Emitter
    times: list[int]
    stamps: list[str]


def write_openmetrics(
    cluster: Cluster,
    start: datetime,
    end: datetime,
    path: Path,
    *,
    interval_seconds: float | None = None,
    families: Collection[str] | None = None,
) -> int:
    """Write all samples of [start, end) as an OpenMetrics file; the number of samples.

    Args:
        cluster: What is scraped.
        start: Aware; the first instant.
        end: Aware; the instant after the last.
        path: The file to write.
        interval_seconds: The scrape interval; the cluster's own by default.
        families: Only these families; all by default.
    """
    samples = 0
    period = (start.timestamp(), end.timestamp())
    interval = interval_seconds or cluster.interval_seconds
    with path.open("w", encoding="utf-8", newline="\n", buffering=1 << 20) as file:
        for family, lines in _families(cluster, period, interval, _seconds, families):
            name = family.removesuffix("_total")
            file.write(f"# TYPE {name} {kind_of(family)}\n")
            for count, text in lines:
                samples += count
                file.write(text)
        file.write("# EOF\n")
    return samples


def backfill(files: Iterable[Path], data_dir: Path) -> None:
    """Turn OpenMetrics files into blocks in a Prometheus data directory, one promtool at a time."""
    for file in files:
        _finish(_start_promtool(file, data_dir))


def populate(
    cluster: Cluster,
    data_dir: Path,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    interval_seconds: float | None = None,
    families: Collection[str] | None = None,
    chunk: timedelta | None = None,
) -> int:
    """Write a cluster's history into a Prometheus data directory; the number of samples.

    The history is cut into chunks, at multiples of their length since the epoch as blocks are, and
    the next chunk is written while promtool reads those before. Without `chunk` it is as long as
    files of about two gigabytes allow.
    """
    start, end = start or cluster.start, end or cluster.end
    only: _Selection = {"interval_seconds": interval_seconds, "families": families}
    chunk = chunk or _fitting_chunk(cluster, interval_seconds or cluster.interval_seconds)
    data_dir.mkdir(parents=True, exist_ok=True)
    samples = 0
    running: list[_Promtool] = []
    with TemporaryDirectory(prefix="simulation-") as scratch:
        try:
            for number, (since, until) in enumerate(_chunks(start, end, chunk)):
                file = Path(scratch) / f"{number}.om"
                samples += write_openmetrics(cluster, since, until, file, **only)
                running.append(_start_promtool(file, data_dir))
                if len(running) == PARALLEL:
                    _finish_first(running)
            while running:
                _finish_first(running)
        finally:
            for leftover in running:
                leftover.process.kill()
                leftover.process.communicate()
    return samples


def import_history(
    cluster: Cluster,
    url: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    interval_seconds: float | None = None,
    families: Collection[str] | None = None,
) -> int:
    """Stream the same samples to a VictoriaMetrics at `url`; the number of samples."""
    period = ((start or cluster.start).timestamp(), (end or cluster.end).timestamp())
    interval = interval_seconds or cluster.interval_seconds
    samples = 0

    def chunks() -> Iterator[bytes]:
        nonlocal samples
        kept: list[str] = []
        size = 0
        for _, lines in _families(cluster, period, interval, str, families):
            for count, text in lines:
                samples += count
                size += len(text)
                kept.append(text)
                if size > CHUNK_CHARACTERS:
                    yield "".join(kept).encode()
                    kept, size = [], 0
        yield "".join(kept).encode()

    answer = httpx.post(f"{url}/api/v1/import/prometheus", content=chunks(), timeout=600)
    answer.raise_for_status()
    httpx.get(f"{url}/internal/force_flush", timeout=60).raise_for_status()
    return samples


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def _families(
    cluster: Cluster,
    period: tuple[float, float],
    interval: float,
    stamp: Callable[[int], str],
    families: Collection[str] | None,
) -> Iterator[tuple[str, Iterator[tuple[int, str]]]]:
    """(family, its (samples, lines) by series) in writing order."""
    scrapes = []
    for emitter in cluster.emitters:
        times = emitter.scrapes(*period, interval)
        scrapes.append(_Scrapes(emitter, times, [f"{stamp(at)}\n" for at in times]))
    honor = not cluster.features.honor_labels_off
    for family, all_series in by_family(cluster, *period, families).items():
        yield family, _lines(family, all_series, scrapes, honor=honor)


def _lines(
    family: str, all_series: list[Series], scrapes: list[_Scrapes], *, honor: bool
) -> Iterator[tuple[int, str]]:
    kinds = {"kube": "kube-state-metrics", "kepler": "kepler"}
    kind = kinds.get(family.partition("_")[0], "cadvisor")
    honor = honor or kind != "kube-state-metrics"
    speaking = [s for s in scrapes if s.emitter.kind == kind and s.times]
    for series in all_series:
        for scraped in speaking:
            if scraped.emitter.speaks_of(series):
                yield from _sampled(series, scraped, honor=honor and scraped.emitter.honors)


def _sampled(series: Series, scraped: _Scrapes, *, honor: bool) -> Iterator[tuple[int, str]]:
    """One series as one emitter's scrapes saw it: (samples, lines) for each span with any."""
    times, stamps = scraped.times, scraped.stamps
    head = ""
    for span in series.spans:
        first = bisect_left(times, span.since * 1000)
        last = len(times) if span.until == inf else bisect_left(times, span.until * 1000, first)
        if first == last:
            continue
        if not head:
            target = scraped.emitter.target_labels(honor=honor)
            head = f"{series.family}{{{render(attach(series.labels, target, honor=honor))}}} "
        if isinstance(span.reading, str):
            line = f"{head}{span.reading} "
            yield last - first, line + line.join(stamps[first:last])
        else:
            read = span.reading
            yield (
                last - first,
                "".join(
                    [
                        f"{head}{read(at / 1000)} {stamp}"
                        for at, stamp in zip(times[first:last], stamps[first:last], strict=True)
                    ]
                ),
            )


def _fitting_chunk(cluster: Cluster, interval: float) -> timedelta:
    """The longest of the usual block lengths whose files stay small on this cluster's average."""
    begin, end = cluster.timetable.start, cluster.timetable.end
    listed = sum(
        max(0.0, min(pod.listed_until, end) - max(pod.created, begin)) for pod in cluster.pods
    )
    per_second = listed / (end - begin) * SERIES_PER_POD / interval
    fitting = [hours for hours in BLOCK_HOURS if per_second * hours * 3600 <= SAMPLES_PER_FILE]
    return timedelta(hours=max(fitting, default=BLOCK_HOURS[0]))


def _chunks(
    start: datetime, end: datetime, length: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    step = length.total_seconds()
    while start < end:
        boundary = (floor(start.timestamp() / step) + 1) * step
        cut = min(end, start + timedelta(seconds=boundary - start.timestamp()))
        yield start, cut
        start = cut


@dataclass(frozen=True, slots=True)
class _Promtool:
    process: subprocess.Popen[str]
    file: Path


def _start_promtool(file: Path, data_dir: Path) -> _Promtool:
    command = [find_program("promtool"), "tsdb", "create-blocks-from", "--quiet"]
    command += [f"--max-block-duration={BLOCK}", "openmetrics", str(file), str(data_dir)]
    process = subprocess.Popen(  # noqa: S603 - a fixed program on our own file
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"GOGC": COLLECT_LESS, **os.environ},
    )
    return _Promtool(process, file)


def _finish_first(running: list[_Promtool]) -> None:
    """Wait for the oldest, and give the disk its file back."""
    _finish(running[0])
    running.pop(0).file.unlink()


def _finish(running: _Promtool) -> None:
    output, _ = running.process.communicate()
    if running.process.returncode:
        raise ProgramError(f"promtool refused {running.file}: {output.strip()[-2000:]}")
