"""``push``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from accounting.cli.options import DestinationOption, Json, ServiceUrl, TokenFile
from accounting.cli.output import bar, clock_notice, counted, finish, notice, shown_time, table
from accounting.cli.program import opened, program_of, stopped_by_signal
from accounting.cli.remote import service_of
from accounting.service.outcome import push_counts


def push(
    ctx: typer.Context,
    *,
    url: ServiceUrl = None,
    token_file: TokenFile = None,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the next try after a failure.")
    ] = False,
    destination: DestinationOption = "",
    as_json: Json = False,
) -> None:
    """Put due records into signed messages, and deliver what waits, in order."""
    settings = program_of(ctx).settings()
    if service := service_of(settings, url, token_file):
        asked = {"now": now, **({"destination": destination} if destination else {})}
        finish(service.run("push", asked), _show_push, _point_further, as_json=as_json)
    settings.site()
    from accounting.service.jobs import Jobs

    with opened(settings) as database:
        jobs = Jobs(settings, database, logs_failures=False)
        with bar("pushing records") as advance, stopped_by_signal(jobs):

            def watch(seen: Mapping[str, Any]) -> None:
                total = seen["delivered"] + seen["remaining"]
                said = f"pushing records, {seen['sent']:,} messages delivered"
                advance(seen["delivered"], total, said)

            outcome = jobs.push(watch, at_once=now, only=destination)
    finish(outcome, _show_push, _point_further, as_json=as_json)


def _show_push(pushed: Mapping[str, Any]) -> None:
    for one in pushed.get("destinations") or [pushed]:
        rows = [(name.replace("_", " "), count) for name, count in push_counts(one).items()]
        table(f"Pushed to {one['destination']}", ("", ">"), rows)


def _point_further(pushed: Mapping[str, Any]) -> None:
    for reason, count in pushed["held"].items():
        said = _new(pushed.get("held_new", {}), reason)
        notice(f"{counted(count, 'record')} held back ({reason}){said}: see 'records list --held'")
    if left_out := pushed["left_out"]:
        new = _new(pushed, "left_out_new")
        said = f"{counted(left_out, 'record')} left out{new}"
        notice(f"{said}: this destination cannot carry such text")
    if ahead := pushed.get("dated_ahead"):
        notice(clock_notice(ahead))
    for warning in pushed["warnings"]:
        notice(warning)
    if parked := pushed["parked"]:
        new = _new(pushed, "parked_new")
        notice(f"{counted(parked, 'message')} parked{new}: see 'outbox list --state parked'")
    if elsewhere := pushed["elsewhere"]:
        notice(
            f"{counted(elsewhere, 'message')} waiting for a destination that is not in the"
            " settings: see 'outbox status', and 'outbox readdress'"
        )
    if pushed["next_try_at"] is not None:
        notice(f"the next try is at {shown_time(pushed['next_try_at'])}, or 'push --now'")


def _new(pushed: Mapping[str, Any], name: str) -> str:
    count = pushed.get(name, 0)
    return f", {count:,} of them new" if count else ""
