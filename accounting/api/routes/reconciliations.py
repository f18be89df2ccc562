"""``/reconciliations``: what the accounting portal showed, beside what had been delivered."""

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Admin, Parts
from accounting.api.models import Model
from accounting.api.parameters import DestinationQuery, LimitQuery, MonthQuery
from accounting.api.routes.messages import where
from accounting.model.reconciliation import Cause, Unit
from accounting.service.outcome import reconciled
from accounting.store.reconciliations import Reconciliations

router = APIRouter(tags=["messages"])


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


@router.get("/reconciliations", response_model=ReconciliationsModel, responses=refusals())
def list_reconciliations(
    service: Parts,
    _viewer: Admin,
    *,
    month: MonthQuery = None,
    destination: DestinationQuery = "",
    limit: LimitQuery = 100,
) -> Response:
    """The comparisons with the accounting portal, the latest first."""
    to = where(service, destination)
    found = Reconciliations(service.database).kept(month, to, limit)
    return as_json({"reconciliations": [reconciled(one) for one in found]})
