"""``/reconciliations``: what the accounting portal showed, beside what had been delivered."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Admin, Parts
from accounting.api.formats import TableQuery
from accounting.api.models import Model
from accounting.api.parameters import DestinationQuery, LimitQuery, MonthQuery
from accounting.api.routes.messages import where
from accounting.api.strictness import endpoints, refuse_useless
from accounting.api.tables import DESCRIBED, csv_file, is_csv, lines_of
from accounting.model.reconciliation import Cause, Unit
from accounting.service.outcome import reconciled
from accounting.store.reconciliations import Reconciliations

router = endpoints("messages")

_USED = ("jobs", "wall_seconds", "cpu_seconds")
_COLUMNS = (
    "month",
    "destination",
    "made_at",
    "source",
    "unit",
    "partial",
    "site",
    "vo",
    *(f"{side}_{figure}" for side in ("shown", "delivered") for figure in _USED),
    "cause",
    "detail",
    "messages",
)


class UsedModel(Model):
    """What was used within a month."""

    jobs: float = Field(description="Notebooks.", examples=[12])
    wall_seconds: float = Field(examples=[86400.0])
    cpu_seconds: float = Field(examples=[3600.0])


class ReconciledLineModel(Model):
    """A site's VO: what the portal showed, and what had been delivered."""

    site: str = Field(examples=["EGI-NOTEBOOKS"])
    vo: str = Field(examples=["vo.example.org"])
    shown: UsedModel
    delivered: UsedModel
    cause: Cause = Field(description="Why they may differ; empty: they do not.")
    detail: str = Field(description="What speaks for it.", examples=[""])
    messages: list[int] = Field(description="The messages that the portal seems to lack.")


class ReconciliationModel(Model):
    """One comparison with the portal."""

    month: str = Field(examples=["2026-11"])
    destination: str = Field(description="Whose deliveries.")
    made_at: float = Field(description="Unix seconds.", examples=[1793516400.0])
    source: str = Field(description="Where the portal's figures came from.")
    unit: Unit = Field(description="What the portal's times were taken for.")
    partial: bool = Field(description="The portal said that something was missing.")
    differing: int = Field(description="How many lines differ.", examples=[0])
    lines: list[ReconciledLineModel]


class ReconciliationsModel(Model):
    """Comparisons, the latest first."""

    reconciliations: list[ReconciliationModel]


@router.get(
    "/reconciliations",
    response_model=ReconciliationsModel,
    responses={**DESCRIBED, **refusals(406)},
)
def list_reconciliations(
    *,
    request: Request,
    service: Parts,
    _viewer: Admin,
    month: MonthQuery = None,
    destination: DestinationQuery = "",
    latest: Annotated[
        bool, Query(description="Only the last one of each month and destination.")
    ] = False,
    limit: LimitQuery = 100,
    kind: TableQuery = None,
) -> Response:
    """The comparisons with the accounting portal, the latest first; or their lines as a file."""
    to, kept = where(service, destination), Reconciliations(service.database)
    as_file = is_csv(request, kind)
    if as_file:
        refuse_useless(request, ("limit",), "in a file, which has all that are selected")
    found = kept.kept(month, to, latest=latest, most=None if as_file else limit)
    rows = map(reconciled, found)
    if as_file:
        return csv_file(lines_of(_COLUMNS, _lines(rows)), "reconciliations")
    return as_json({"reconciliations": list(rows)})


def _lines(made: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each line with the comparison that it is of."""
    return ({**one, **line} for one in made for line in one["lines"])
