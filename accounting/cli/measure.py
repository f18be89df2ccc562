"""``doctor`` and ``poll``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import Json, moment
from accounting.cli.output import notice, open_console, shown_time, table, write_json
from accounting.cli.program import DONE, FAILED, INCOMPLETE, opened, program_of

if TYPE_CHECKING:
    from accounting import collect
    from accounting.doctor import Finding
    from accounting.prometheus import Source

_SIGNS = {
    "ok": "[green]ok     [/]",
    "warning": "[yellow]warning[/]",
    "failed": "[red]failed [/]",
}


def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Check all that polls and pushes need, and say what to do about what is missing.

    Looks at the settings, at Prometheus and what it has scraped, at the database, and at the host
    certificate and where records are delivered. Changes nothing.
    """
    from accounting.doctor import State, examine, worst

    findings = []
    for finding in examine(program_of(ctx).settings()):
        findings.append(finding)
        if not as_json:
            _show_finding(finding)
    if as_json:
        write_json([asdict(finding) for finding in findings])
    raise typer.Exit(FAILED if worst(findings) is State.FAILED else DONE)


def _show_finding(finding: "Finding") -> None:
    from rich.markup import escape

    console = open_console()
    sign = _SIGNS[finding.state.value]
    console.print(f"{sign} {escape(finding.name)}: {escape(finding.what)}", soft_wrap=True)
    if finding.cure:
        console.print(f"        → {escape(finding.cure)}", soft_wrap=True)


Since = Annotated[
    int | None,
    typer.Option(
        parser=moment,
        metavar="TIME",
        help="Read again from here; what is known does not change. Default: where the last"
        " poll ended, or else the oldest data.",
    ),
]
Until = Annotated[
    int | None,
    typer.Option(
        parser=moment,
        metavar="TIME",
        help="How far to read. Default: now, less ACCOUNTING_POLL__SETTLE (60 s if not set), as"
        " younger samples may not have arrived yet.",
    ),
]


def poll(
    ctx: typer.Context, since: Since = None, until: Until = None, as_json: Json = False
) -> None:
    """Read usage from Prometheus, from where the last poll ended up to now.

    Times are ISO 8601 (UTC if they name no zone) or Unix seconds. Where Prometheus has no data for
    a while, that is a gap: it is told, nothing is guessed, and the exit code is 3.
    """
    settings = program_of(ctx).settings()
    now = time.time()
    if until is not None and until > now:
        raise typer.BadParameter("--until is in the future")
    end = int(now - settings.poll.settle) if until is None else until
    if since is not None and since >= end:
        raise typer.BadParameter(f"--since must be before the end, {shown_time(end)}")
    from accounting.schedule import forgetter_of, poller_of, source_of

    settings.site()  # both are needed, and asked for before anything is made
    settings.scope()
    with source_of(settings) as source, opened(settings, create=True) as database:
        poller = poller_of(settings, database, source)
        with _progress(end) as watch:
            report = poller.poll(end, since, watch)
        forgotten = forgetter_of(settings, database)(now)
    if as_json:
        write_json(_poll_data(report, forgotten))
    else:
        _show_poll(report, forgotten)
        _point_further(report, source)
    raise typer.Exit(DONE if report.is_complete else INCOMPLETE)


@contextmanager
def _progress(until: int) -> "Iterator[Callable[[collect.Report], None]]":
    """A bar by covered time, where somebody looks."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = open_console(err=True)
    quiet = not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=quiet) as progress:
        task = progress.add_task("reading", total=None)

        def watch(report: "collect.Report") -> None:
            done, total = report.end - report.start, until - report.start
            said = f"read up to {shown_time(report.end)}, {len(report.pods):,} pods"
            progress.update(task, completed=done, total=total, description=said)

        yield watch


def _poll_data(report: "collect.Report", forgotten: int) -> dict[str, Any]:
    return {
        "start": report.start,
        "end": report.end,
        "windows": report.windows,
        "pods": len(report.pods),
        "gaps": [list(gap) for gap in report.gaps],
        "silent_since": report.silent_since,
        "held": _held(report),
        "rejected": _rejected(report),
        "forgotten": forgotten,
        "complete": report.is_complete,
    }


def _show_poll(report: "collect.Report", forgotten: int) -> None:
    rows = [
        ("from", shown_time(report.start)),
        ("to", shown_time(report.end)),
        ("windows", report.windows),
        ("pods", f"{len(report.pods):,}"),
        *(("gap", f"{shown_time(start)} to {shown_time(end)}") for start, end in _gaps(report)),
        *((f"held back: {reason}", f"{count:,}") for reason, count in _held(report).items()),
        *((f"set aside: {what}", f"{count:,}") for what, count in _rejected(report).items()),
    ]
    if forgotten:
        rows.append(("user names forgotten", f"in {forgotten:,} pods"))
    table("What was read", ("", ""), rows)


def _point_further(report: "collect.Report", source: "Source") -> None:
    if report.silent_since is not None:
        since = shown_time(report.silent_since)
        notice(f"{source.url} says nothing since {since}; see 'doctor'")
    if gaps := _gaps(report):
        notice(f"the source was silent {len(gaps)} times; see 'db gaps'")
    if report.held:
        notice("some records are held back; see 'records list --held'")
    if report.rejected:
        notice("some values cannot be true and were set aside")


def _gaps(report: "collect.Report") -> list[tuple[float, float]]:
    """The gaps that are over."""
    return [(gap.start_at, gap.end_at) for gap in report.gaps if gap.end_at is not None]


def _held(report: "collect.Report") -> Counter[str]:
    return Counter(reason.value for reason in report.held.values())


def _rejected(report: "collect.Report") -> dict[str, int]:
    return {f"{r.metric}: {r.reason}": count for r, count in report.rejected.items()}
