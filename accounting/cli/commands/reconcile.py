"""``reconcile``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from accounting.cli.options import DestinationOption, Json, ServiceUrl, TokenFile
from accounting.cli.options import month as parsed_month
from accounting.cli.output import finish, notice, shown_time, table, write_json
from accounting.cli.program import opened, program_of
from accounting.cli.remote import service_of
from accounting.errors import SettingsError
from accounting.model.time import Month


def reconcile(
    ctx: typer.Context,
    *,
    month: Annotated[
        Month,
        typer.Option("--month", metavar="YYYY-MM", parser=parsed_month, help="The month (UTC)."),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="The portal's /json or /csv, fetched before: where the network does not reach it.",
        ),
    ] = None,
    kept: Annotated[
        bool, typer.Option("--kept", help="Only show the comparisons that were made before.")
    ] = False,
    destination: DestinationOption = "",
    url: ServiceUrl = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Compare a month at the EGI Accounting Portal with what was delivered.

    By site and VO: both figures, and where they differ, the likely cause. Each comparison is kept.
    """
    settings = program_of(ctx).settings()
    service = service_of(settings, url, token_file) if not kept else None
    if service and file:
        raise SettingsError(
            "--file cannot be sent to a running service", "leave --url out, or run it there"
        )
    if service:
        asked = {"month": str(month), **({"destination": destination} if destination else {})}
        finish(service.run("reconcile", asked), _show, _point_further, as_json=as_json)
    from accounting.service.jobs import Jobs

    with opened(settings) as database:
        if kept:
            from accounting.service.outcome import reconciled
            from accounting.store.reconciliations import Reconciliations
            from accounting.wiring.destinations import address_of

            to = address_of(settings, destination) if destination else ""
            found = [reconciled(one) for one in Reconciliations(database).kept(month, to)]
            _show_kept(month, found, as_json=as_json)
            return
        jobs = Jobs(settings, database, logs_failures=False)
        outcome = jobs.reconcile(month, destination=destination, file=file)
    finish(outcome, _show, _point_further, as_json=as_json)


def _show(made: Mapping[str, Any]) -> None:
    table(
        f"{made['month']}: what the portal shows, and what was delivered to {made['destination']}",
        (
            "site",
            "VO",
            ">shown wall h",
            ">delivered",
            ">shown CPU h",
            ">delivered",
            ">shown pods",
            ">delivered",
            "differs",
            "why",
        ),
        (
            (
                line["site"],
                line["vo"],
                *_pair(line, "wall_seconds", 3600),
                *_pair(line, "cpu_seconds", 3600),
                *_pair(line, "jobs", 1),
                line["cause"],
                _detail(line),
            )
            for line in made["lines"]
        ),
    )


def _pair(line: Mapping[str, Any], name: str, unit: int) -> tuple[str, str]:
    shown, delivered = (line[side][name] / unit for side in ("shown", "delivered"))
    return f"{shown:,.2f}".removesuffix(".00"), f"{delivered:,.2f}".removesuffix(".00")


def _detail(line: Mapping[str, Any]) -> str:
    numbers = ", ".join(str(number) for number in line["messages"])
    return f"{line['detail']}: message {numbers}" if numbers else str(line["detail"])


def _show_kept(month: Month, found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        write_json(found)
        return
    table(
        f"Comparisons of {month} with the portal",
        ("made at", "destination", "source", "unit", ">lines", ">differ", "causes"),
        (
            (
                shown_time(made["made_at"]),
                made["destination"],
                made["source"],
                made["unit"],
                len(made["lines"]),
                made["differing"],
                ", ".join(sorted({line["cause"] for line in made["lines"] if line["cause"]})),
            )
            for made in found
        ),
    )


def _point_further(made: Mapping[str, Any]) -> None:
    notice(f"the portal's times were taken for {made['unit']}: ACCOUNTING_PORTAL__UNIT fixes it")
    if made["partial"]:
        notice("the portal says that its answer is not whole: reconcile again later")
    if made["differing"]:
        notice(
            "what was refused or lost is sent again by 'republish --month "
            f"{made['month']}'; see docs/delivery.md for each cause"
        )
