"""``republish``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import DestinationOption, Json, ServiceUrl, TokenFile
from accounting.cli.options import month as parsed_month
from accounting.cli.output import counted, notice, shown_uid, table, write_json
from accounting.cli.program import opened, program_of
from accounting.cli.remote import service_of
from accounting.errors import AccountingError
from accounting.model.time import Month

if TYPE_CHECKING:
    from accounting.delivery.differences import Difference

_SHOWN = 100


def republish(
    ctx: typer.Context,
    *,
    month: Annotated[
        Month,
        typer.Option("--month", metavar="YYYY-MM", parser=parsed_month, help="The month (UTC)."),
    ],
    vo: Annotated[str, typer.Option(help="Only this VO's records.")] = "",
    user: Annotated[str, typer.Option(help="Only this user's records.")] = "",
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what differs from what was delivered.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what differs; queue nothing.")
    ] = False,
    destination: DestinationOption = "",
    url: ServiceUrl = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Show how a month's records differ from what was delivered, and queue them again.

    This is also how corrections of a closed month go out. The next 'push' sends them. The
    receiver replaces what it already has: nothing is counted twice.
    """
    settings = program_of(ctx).settings()
    if service := service_of(settings, url, token_file):
        asked = {
            "month": str(month),
            "vo": vo,
            "user": user,
            "changed": changed,
            "destination": destination,
        }
        given = {name: value for name, value in asked.items() if value}
        outcome = service.run("republish", {**given, "dry_run": dry_run})
    else:
        from accounting.delivery.differences import Chosen
        from accounting.service.jobs import Jobs

        most = None if as_json else _SHOWN
        with opened(settings) as database:
            jobs = Jobs(settings, database, logs_failures=False)
            chosen = Chosen(month, vo, user, changed, destination)
            outcome = jobs.republish(chosen, _told, dry_run=dry_run, most=most)
    if outcome.error is not None or outcome.result is None:
        raise outcome.error or typer.Exit(outcome.exit_code)
    result = outcome.result
    if not sum(result["counts"].values()) and not changed:
        raise AccountingError(
            f"there is no record of {month} that could be sent" + (" for these" * bool(vo or user)),
            "see 'notebooks-accounting records list', also with --held",
        )
    if as_json:
        write_json(result)
        return
    _show(result)
    if held := result["held"]:
        notice(
            f"{held:,} records that were delivered are held back now, and stay as they are there"
        )
    typer.echo(
        "nothing was queued: leave --dry-run out for that"
        if dry_run
        else f"{counted(result['queued'], 'record')} queued: the next 'push' sends them"
    )


def _told(one: "Difference") -> dict[str, Any]:
    return {**asdict(one), "month": str(one.month), "kind": one.kind.value}


def _show(result: Mapping[str, Any]) -> None:
    month, shown = result["month"], result["differences"]
    if shown:
        table(
            f"What differs in {month} from what was delivered",
            ("pod", "VO", "", ">wall s", ">CPU s", "changes"),
            (
                (
                    shown_uid(one["uid"]),
                    one["vo"],
                    one["kind"],
                    _signed(one["wall_seconds"]),
                    _signed(one["cpu_seconds"]),
                    _changes(one["changes"]) if one["kind"] == "changed" else "",
                )
                for one in shown
            ),
        )
    counts = result["counts"]
    different = sum(counts.values()) - counts["same"]
    if different > len(shown):
        notice(f"{different - len(shown):,} more differ; see --json for all")
    rows = [(kind, f"{count:,}") for kind, count in counts.items()]
    rows.append(("wall seconds, all together", _signed(result["wall_seconds"])))
    rows.append(("CPU seconds, all together", _signed(result["cpu_seconds"])))
    table(f"Records of {month}", ("", ">"), rows)


def _signed(seconds: int | None) -> str:
    return "forgotten" if seconds is None else f"{seconds:+,}"


def _changes(changes: Mapping[str, tuple[str, str]]) -> str:
    """Names of people are not repeated: that they changed is enough."""
    from accounting.records.formats.apel import PERSONAL

    return "; ".join(
        key if key in PERSONAL else f"{key} {old or 'none'} → {new or 'none'}"
        for key, (old, new) in changes.items()
    )
