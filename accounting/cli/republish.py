"""``republish``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import Json
from accounting.cli.options import month as parsed_month
from accounting.cli.output import notice, table, write_json
from accounting.cli.program import opened, program_of
from accounting.errors import AccountingError
from accounting.model import Month

if TYPE_CHECKING:
    from accounting.holdings import Difference

_SHOWN = 100


@dataclass
class _Account:
    """How many records there are of each kind, and what differs."""

    counts: dict[str, int]
    wall_seconds: int = 0
    cpu_seconds: int = 0
    unknown: int = 0
    different: list["Difference"] = field(default_factory=list)

    def add(self, found: Iterable["Difference"], most: int | None) -> None:
        for one in found:
            self.counts[one.kind.value] += 1
            if one.kind.value == "same":
                continue
            self.unknown += one.wall_seconds is None
            self.wall_seconds += one.wall_seconds or 0
            self.cpu_seconds += one.cpu_seconds or 0
            if most is None or len(self.different) < most:
                self.different.append(one)


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
    as_json: Json = False,
) -> None:
    """Queue a month's records again, and show how they differ from what was delivered.

    This is also how corrections of a closed month go out. The next 'push' sends them; what the
    receiver holds already is replaced by the same.
    """
    settings = program_of(ctx).settings()
    from accounting.holdings import Chosen, Holdings, Kind

    chosen = Chosen(month, vo, user, changed)
    account = _Account({kind.value: 0 for kind in Kind})
    with opened(settings) as database:
        holdings = Holdings(database)
        account.add(holdings.differences(chosen), None if as_json else _SHOWN)
        held = holdings.held(chosen)
        queued = 0 if dry_run else holdings.republish(chosen)
    if not sum(account.counts.values()) and not changed:
        raise AccountingError(
            f"there is no record of {month} that could be sent" + (" for these" * bool(vo or user)),
            "see 'notebooks-accounting records list', also with --held",
        )
    if as_json:
        write_json(_data(account, queued, held, str(month)))
        return
    _show(account, str(month))
    if held:
        notice(
            f"{held:,} records that were delivered are held back now, and stay as they are there"
        )
    typer.echo(
        "nothing was queued: leave --dry-run out for that"
        if dry_run
        else f"{queued:,} records are queued: the next 'push' sends them"
    )


def _data(account: _Account, queued: int, held: int, month: str) -> dict[str, Any]:
    return {
        "month": month,
        "counts": account.counts,
        "wall_seconds": account.wall_seconds,
        "cpu_seconds": account.cpu_seconds,
        "forgotten": account.unknown,
        "held": held,
        "queued": queued,
        "differences": [
            {**asdict(one), "month": str(one.month), "kind": one.kind.value}
            for one in account.different
        ],
    }


def _show(account: _Account, month: str) -> None:
    if account.different:
        table(
            f"What differs in {month} from what was delivered",
            ("pod", "VO", "", ">wall s", ">CPU s", "changes"),
            (
                (
                    one.uid,
                    one.vo,
                    one.kind.value,
                    _signed(one.wall_seconds),
                    _signed(one.cpu_seconds),
                    _changes(one.changes) if one.kind.value == "changed" else "",
                )
                for one in account.different
            ),
        )
    different = sum(account.counts.values()) - account.counts["same"]
    if different > len(account.different):
        notice(f"{different - len(account.different):,} more differ; see --json for all")
    rows = [(kind, f"{count:,}") for kind, count in account.counts.items()]
    rows.append(("wall seconds, all together", _signed(account.wall_seconds)))
    rows.append(("CPU seconds, all together", _signed(account.cpu_seconds)))
    table(f"Records of {month}", ("", ">"), rows)


def _signed(seconds: int | None) -> str:
    return "forgotten" if seconds is None else f"{seconds:+,}"


def _changes(changes: Mapping[str, tuple[str, str]]) -> str:
    """Names of people are not repeated: that they changed is enough."""
    private = {"GlobalUserName", "LocalUserId", "MachineName"}
    return "; ".join(
        key if key in private else f"{key} {old or 'none'} → {new or 'none'}"
        for key, (old, new) in changes.items()
    )
