"""Options that several commands have."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from accounting.model.time import EARLIEST_AT, LATEST_AT, Month


def moment(text: str) -> int:
    """ISO 8601 (UTC if it names no zone) or Unix seconds → Unix seconds."""
    try:
        at = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(
                f"'{text}' is not a time; for example 2026-11-01, 2026-11-01T06:00Z or 1793512800"
            ) from None
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not EARLIEST_AT <= at <= LATEST_AT:
        raise typer.BadParameter(f"'{text}' is not a time after 2013")
    return math.floor(at)


def month(text: str) -> Month:
    """A UTC month as ``YYYY-MM``."""
    try:
        return Month.parse(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a month; for example 2026-11") from None


ServiceUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Through the service that runs there.  [env: ACCOUNTING_API__URL]",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the service's token. Default: ACCOUNTING_API__JOB_TOKEN_FILE, else"
        " ACCOUNTING_API__TOKEN_FILE.",
    ),
]
DestinationOption = Annotated[
    str,
    typer.Option(
        "--destination",
        metavar="NAME",
        help="Of this destination: its name in the settings, 'apel' for the first, or as 'outbox"
        " status' shows it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of text.")]
MonthOption = Annotated[
    Month | None,
    typer.Option("--month", metavar="YYYY-MM", parser=month, help="Only this month (UTC)."),
]
PodArgument = Annotated[
    str,
    typer.Argument(
        metavar="UID",
        help="The pod's uid, which is the VMUUID, or its beginning if no other pod's begins so.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most that many.")]
