"""The service's parts, and how endpoints get them and the viewer."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Request

from accounting.api.bodies import Bodies
from accounting.api.exports import Exports
from accounting.api.turns import Turns
from accounting.config import Settings
from accounting.guard.gate import Identity
from accounting.guard.problem import Problem
from accounting.lookup.sums.summaries import Summaries
from accounting.service.jobs import Jobs
from accounting.service.loops import PollLoop
from accounting.service.runs import Runs
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database
from accounting.telemetry.metrics import Metrics

_FORBIDDEN = 403


@dataclass(frozen=True)
class Service:
    """What the API and the pages work on.

    Attributes:
        settings: the service's.
        database: the service's.
        metrics: the service's.
        jobs: does what is asked for.
        loop: polls in the background.
        clock: tells Unix time.
    """

    settings: Settings
    database: Database
    metrics: Metrics
    jobs: Jobs
    loop: PollLoop
    clock: Callable[[], float] = time.time

    @cached_property
    def runs(self) -> Runs:
        """What was asked to be done."""
        return Runs(self.clock, lambda run: self.metrics.runs.labels(run.kind, run.state).inc())

    @cached_property
    def turns(self) -> Turns:
        """Serialises short requests."""
        return Turns(1 if self.database.is_sqlite else 2)

    @cached_property
    def exports(self) -> Exports:
        """Files that are written while they are read."""
        return Exports()

    @cached_property
    def bodies(self) -> Bodies:
        """Answers that were written lately."""
        return Bodies()

    @cached_property
    def summaries(self) -> Summaries:
        """Adds up, and keeps what it has added up."""
        return Summaries(self.database)


# What an endpoint depends on is found without waiting for anything; as coroutines, so that no
# thread is taken from the pool for it.


async def service_of(request: Request) -> Service:
    """The service that a request is for."""
    service = request.app.state.service
    assert isinstance(service, Service)  # noqa: S101 - set where the application is made
    return service


def identity_of(request: Request) -> Identity:
    """Who asks, as the gate found out."""
    identity = request.state.identity
    assert isinstance(identity, Identity)  # noqa: S101 - the gate lets nobody else through
    return identity


def _viewer(request: Request, right: Right) -> Viewer:
    identity = identity_of(request)
    found = identity.viewer
    if found.may(right):
        return found
    if identity.session:
        raise Problem(_FORBIDDEN, f"you may not {_VERBS[right]}", "ask the service's operator")
    raise Problem(_FORBIDDEN, f"this token may not {_VERBS[right]}", "use a token that may")


def _with(right: Right) -> Callable[[Request], Awaitable[Viewer]]:
    async def viewer(request: Request) -> Viewer:
        return _viewer(request, right)

    return viewer


async def _admin(request: Request) -> Viewer:
    viewer = _viewer(request, Right.READ)
    if not viewer.is_admin:
        raise Problem(_FORBIDDEN, "this is for administrators", "ask the service's operator")
    return viewer


_VERBS = {
    Right.READ: "look at usage",
    Right.OPERATE: "start polls or pushes",
    Right.METRICS: "read metrics",
}

Parts = Annotated[Service, Depends(service_of)]
Reader = Annotated[Viewer, Depends(_with(Right.READ))]
Operator = Annotated[Viewer, Depends(_with(Right.OPERATE))]
Scraper = Annotated[Viewer, Depends(_with(Right.METRICS))]
Admin = Annotated[Viewer, Depends(_admin)]
