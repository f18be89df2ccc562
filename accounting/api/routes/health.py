"""``/healthz``, ``/readyz`` and ``/metrics``: for Kubernetes and Prometheus."""

import asyncio
import threading
from contextlib import suppress
from functools import cache

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from starlette.responses import Response

from accounting.api.dependencies import Parts, Scraper, Service
from accounting.errors import DatabaseError
from accounting.guard.problem import Problem
from accounting.lookup.standing import standing_of
from accounting.lookup.sums.month import month_usage
from accounting.telemetry.metrics import CONTENT_TYPE
from accounting.telemetry.standing import Standing
from accounting.telemetry.usage import MonthUsage

router = APIRouter(include_in_schema=False)
_shown = threading.Lock()
_UNAVAILABLE = 503
_LOOK_SECONDS = 3.0


@cache
def _looks() -> CapacityLimiter:
    return CapacityLimiter(2)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The program lives; it waits for no thread and no database."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(service: Parts) -> dict[str, str]:
    """The service can answer: its database is there, with the tables of this version.

    /metrics tells whether polls succeed; this path does not. Otherwise, a Prometheus that is away
    would block every rollout, and hide from people what was measured.
    """
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            # In a thread of its own: pages may have taken all the others.
            reason = await to_thread.run_sync(
                _unready, service, abandon_on_cancel=True, limiter=_looks()
            )
    except TimeoutError:
        reason = "the database does not answer"
    if reason:
        raise Problem(
            _UNAVAILABLE, reason, "see the service's log, and 'notebooks-accounting doctor'"
        )
    return {"status": "ready"}


@router.get("/metrics")
def metrics(service: Parts, _viewer: Scraper) -> Response:
    """Figures about the service itself."""
    standing, usage, now = Standing(), MonthUsage(), service.clock()
    with suppress(DatabaseError):  # the other metrics, and NaN for these, tell of it
        standing = standing_of(service.settings, service.database, now)
        usage = month_usage(service.summaries, now)
    with _shown:
        service.metrics.show(standing)
        service.metrics.show_usage(usage)
        return Response(service.metrics.render(), media_type=CONTENT_TYPE)


def _unready(service: Service) -> str:
    """Why the service is not ready, or empty text."""
    try:
        if not service.database.is_current():
            return "the database waits for 'notebooks-accounting db upgrade'"
    except DatabaseError:
        return "the database cannot be used"
    return ""
