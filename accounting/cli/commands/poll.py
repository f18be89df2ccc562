"""``poll``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import Json, ServiceUrl, TokenFile, moment
from accounting.cli.output import bar, clock_notice, finish, notice, shown_time, table
from accounting.cli.program import opened, program_of, stopped_by_signal
from accounting.cli.remote import service_of

if TYPE_CHECKING:
    from accounting.service.progress import Notice

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
    ctx: typer.Context,
    *,
    since: Since = None,
    until: Until = None,
    url: ServiceUrl = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Read usage from Prometheus, from where the last poll ended up to now.

    Times are ISO 8601 (UTC if they name no zone) or Unix seconds. Where Prometheus has no data for
    a while, the command reports a gap, guesses nothing, and exits with 3.
    """
    settings = program_of(ctx).settings()
    if service := service_of(settings, url, token_file):
        asked = {"since": since, "until": until}
        given = {name: at for name, at in asked.items() if at is not None}
        finish(service.run("poll", given), _show_poll, _point_further, as_json=as_json)
    now = time.time()
    if until is not None and until > now:
        raise typer.BadParameter("--until is in the future")
    end = int(now - settings.poll.settle) if until is None else until
    if since is not None and since >= end:
        raise typer.BadParameter(f"--since must be before the end, {shown_time(end)}")
    from accounting.service.jobs import Jobs
    from accounting.wiring.source import source_of

    settings.site()  # both are needed, and asked for before anything is made
    settings.scope()
    with source_of(settings) as source, opened(settings, create=True) as database:
        jobs = Jobs(settings, database, source=source, logs_failures=False)
        with _progress() as watch, stopped_by_signal(jobs):
            outcome = jobs.poll(watch, since=since, until=end)
    finish(outcome, _show_poll, _point_further, as_json=as_json)


@contextmanager
def _progress() -> "Iterator[Notice]":
    """A bar by covered time, where somebody looks."""
    with bar("reading") as advance:

        def watch(seen: Mapping[str, Any]) -> None:
            said = f"read up to {shown_time(seen['read_until'])}, {seen['pods']:,} pods"
            advance(seen["read_until"] - seen["start"], seen["until"] - seen["start"], said)

        yield watch


def _show_poll(polled: Mapping[str, Any]) -> None:
    gaps = [gap for gap in polled["gaps"] if gap[1] is not None]
    rows = [
        ("from", shown_time(polled["start"])),
        ("to", shown_time(polled["end"])),
        ("windows", polled["windows"]),
        ("pods", f"{polled['pods']:,}"),
        *(("gap", f"{shown_time(start)} to {shown_time(end)}") for start, end in gaps),
        *((f"held back: {reason}", f"{count:,}") for reason, count in polled["held"].items()),
        *((f"set aside: {what}", f"{count:,}") for what, count in polled["rejected"].items()),
    ]
    if polled["forgotten"]:
        rows.append(("user names forgotten", f"in {polled['forgotten']:,} pods"))
    table("What was read", ("", ""), rows)


def _point_further(polled: Mapping[str, Any]) -> None:
    if polled["silent_since"] is not None:
        since = shown_time(polled["silent_since"])
        notice(f"Prometheus says nothing since {since}; see 'doctor'")
    if gaps := [gap for gap in polled["gaps"] if gap[1] is not None]:
        times = "1 time" if len(gaps) == 1 else f"{len(gaps):,} times"
        notice(f"the source was silent {times}; see 'db gaps'")
    if polled["held"]:
        new = sum(polled.get("held_new", {}).values())
        said = f"{new:,} of them new" if new else "all known"
        notice(f"some records are held back, {said}; see 'records list --held'")
    if ahead := polled.get("dated_ahead"):
        notice(clock_notice(ahead))
    if polled["rejected"]:
        notice("some values cannot be true and were set aside")
