"""``POST /poll``, ``/push`` and others start runs; ``/runs`` follows them."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Operator, Parts, Service
from accounting.api.formats import TableQuery
from accounting.api.models import RunModel, RunsModel
from accounting.api.parameters import (
    DestinationQuery,
    MonthType,
    SinceQuery,
    UntilQuery,
    UserQuery,
    VoQuery,
    moment,
)
from accounting.api.strictness import endpoints
from accounting.api.tables import DESCRIBED, csv_file, is_csv, lines_of
from accounting.delivery.differences import Chosen, Difference
from accounting.errors import SettingsError
from accounting.guard.problem import Problem
from accounting.model.jobs import JobKind
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.service.runs import Job, Run, Underway
from accounting.wiring.destinations import place_of

router = endpoints("runs")

_ACCEPTED, _BAD, _NOT_FOUND, _CONFLICT = 202, 400, 404, 409
_LONGEST_WAIT = 25
_SHOWN = 100
_COLUMNS = (
    "id",
    "kind",
    "state",
    "begun_at",
    "ended_at",
    "ending",
    "exit_code",
    "error",
    "error_cure",
)
_STARTED = {
    _ACCEPTED: {
        "model": RunModel,
        "description": "The run has begun; follow it at its Location.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
    **refusals(409),
}


@router.post("/poll", status_code=_ACCEPTED, response_model=RunModel, responses=_STARTED)
def start_poll(
    request: Request,
    service: Parts,
    _viewer: Operator,
    *,
    since: SinceQuery = None,
    until: UntilQuery = None,
) -> Response:
    """Read usage from Prometheus, from where the last poll ended up to now.

    With `since` a time is read again: what is known does not change, what was missing is added.
    """
    try:
        job = poll_job(service, *to_read(service, since, until))
    except ValueError as exc:
        wrong = "until" if until is not None else "since"
        raise Problem(
            _BAD,
            f"{wrong} {exc}",
            "give a time that has passed, and since before until",
            errors=[{"parameter": wrong, "problem": str(exc)}],
        ) from exc
    return _started(request, start(service, JobKind.POLL, job))


@router.post("/push", status_code=_ACCEPTED, response_model=RunModel, responses=_STARTED)
def start_push(
    request: Request,
    service: Parts,
    _viewer: Operator,
    *,
    now: Annotated[
        bool, Query(description="Do not wait for the next try after a failure.")
    ] = False,
    destination: DestinationQuery = "",
) -> Response:
    """Put due records into signed messages, and deliver what waits, in order."""
    only = known(service, destination)
    job = push_job(service, at_once=now, only=only)
    return _started(request, start(service, JobKind.PUSH, job))


@router.post("/republish", status_code=_ACCEPTED, response_model=RunModel, responses=_STARTED)
def start_republish(
    request: Request,
    service: Parts,
    _viewer: Operator,
    *,
    month: Annotated[MonthType, Query(description="The month (UTC).", examples=["2026-11"])],
    vo: VoQuery = "",
    user: UserQuery = "",
    changed: Annotated[
        bool, Query(description="Only what differs from what was delivered.")
    ] = False,
    dry_run: Annotated[
        bool, Query(description="Only tell what differs; false: queue it for the next push.")
    ] = True,
    destination: DestinationQuery = "",
) -> Response:
    """Queue a month's records again, and tell how they differ from what was delivered."""
    chosen = Chosen(month, vo, user, changed, known(service, destination))
    job = republish_job(service, chosen, dry_run=dry_run)
    return _started(request, start(service, JobKind.REPUBLISH, job, chosen))


@router.post("/reconcile", status_code=_ACCEPTED, response_model=RunModel, responses=_STARTED)
def start_reconcile(
    request: Request,
    service: Parts,
    _viewer: Operator,
    *,
    month: Annotated[MonthType, Query(description="The month (UTC).", examples=["2026-11"])],
    destination: DestinationQuery = "",
) -> Response:
    """Hold what the accounting portal shows of a month against what was delivered."""
    job = reconcile_job(service, month, known(service, destination))
    return _started(request, start(service, JobKind.RECONCILE, job))


@router.get("/runs", response_model=RunsModel, responses={**DESCRIBED, **refusals(406)})
def list_runs(
    request: Request, service: Parts, _viewer: Operator, kind: TableQuery = None
) -> Response:
    """The runs since the service has started, the latest first; a hundred at most.

    As a file without their results, which differ by kind.
    """
    rows = [shown(run) for run in service.runs.latest()]
    if is_csv(request, kind):
        return csv_file(lines_of(_COLUMNS, rows), "runs")
    return as_json({"runs": rows})


@router.get("/runs/{name}", response_model=RunModel, responses=refusals(404))
async def get_run(
    service: Parts,
    _viewer: Operator,
    name: Annotated[str, Path(max_length=64, description="The run's id.")],
    wait: Annotated[
        int, Query(ge=0, le=_LONGEST_WAIT, description="Seconds to wait for its end.")
    ] = 0,
) -> Response:
    """How far a run has come, or how it ended."""
    run = service.runs.find(name)
    if run is None:
        raise Problem(
            _NOT_FOUND, "no run has this id", "runs are forgotten when the service restarts"
        )
    if wait and run.outcome is None:
        await run_in_threadpool(run.ended.wait, wait)
    return as_json(shown(run))


def start(service: Service, kind: JobKind, job: Job, asked: Any = None) -> Run:
    """Start a run; for the pages too.

    Raises:
        Problem: another one is under way.
    """
    try:
        return service.runs.start(kind, job, asked)
    except Underway as exc:
        raise Problem(_CONFLICT, exc.message, exc.cure, run=exc.run.id) from exc


def poll_job(service: Service, since: int | None = None, until: int | None = None) -> Job:
    """A poll of all that is new, or of a time: see ``Jobs.poll``."""
    return lambda notice: service.jobs.poll(notice, since=since, until=until)


def to_read(
    service: Service, since: int | None, until: int | None
) -> tuple[int | None, int | None]:
    """A time that can be read, Unix seconds.

    Raises:
        ValueError: it has not passed yet, or ends before it begins.
    """
    settled = service.clock() - service.settings.poll.settle
    if until is not None and until > settled:
        raise ValueError("is in the future, or so young that samples may be missing")
    if since is not None and since >= (settled if until is None else until):
        raise ValueError("is not after since" if until is not None else "is in the future")
    return since, until


def span_to_read(service: Service, since: str, until: str) -> tuple[int | None, int | None]:
    """The same, from texts; for the pages.

    Raises:
        ValueError: it says what is wrong with which.
    """
    found = []
    for name, text in (("From", since), ("To", until)):
        try:
            found.append(moment(text.strip()))
        except ValueError as exc:
            raise ValueError(f"{name} {exc}") from exc
    try:
        return to_read(service, *found)
    except ValueError as exc:
        raise ValueError(f"To {exc}") from exc


def push_job(service: Service, *, at_once: bool, only: str = "") -> Job:
    """A push of all that is due; to one destination, or to all."""
    return lambda notice: service.jobs.push(notice, at_once=at_once, only=only)


def reconcile_job(service: Service, month: Month, destination: str = "") -> Job:
    """A comparison of a month with the accounting portal."""
    return lambda _notice: service.jobs.reconcile(month, destination=destination)


def known(service: Service, destination: str) -> str:
    """A destination's name in the settings; empty if none was asked for.

    Raises:
        Problem: the settings have none like that.
    """
    if not destination:
        return ""
    try:
        return place_of(service.settings, destination).name
    except SettingsError as exc:
        raise Problem(_BAD, exc.message, exc.cure) from exc


def republish_job(service: Service, chosen: Chosen, *, dry_run: bool) -> Job:
    """What differs in a month from what was delivered; it is queued again if this is no dry run.

    The first hundred differences are told in full, but for people's names.
    """
    return lambda _notice: service.jobs.republish(chosen, _told, dry_run=dry_run, most=_SHOWN)


def _told(one: Difference) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "vo": one.vo,
        "kind": one.kind.value,
        "wall_seconds": one.wall_seconds,
        "cpu_seconds": one.cpu_seconds,
        "changes": {k: v for k, v in one.changes.items() if k not in apel.PERSONAL},
    }


def shown(run: Run) -> dict[str, Any]:
    """A run as the API shows it."""
    ended = run.outcome
    error = ended.error if ended else None
    result: Mapping[str, Any] | None = ended.result if ended else None
    return {
        "id": run.id,
        "kind": run.kind.value,
        "state": run.state.value,
        "begun_at": run.begun_at,
        "ended_at": run.ended_at,
        "progress": run.progress,
        "ending": ended.ending.value if ended else None,
        "exit_code": ended.exit_code if ended else None,
        "result": result,
        "error": {"error": error.message, "cure": error.cure} if error else None,
    }


def _started(request: Request, run: Run) -> Response:
    path = f"{request.scope.get('root_path', '')}/api/v1/runs/{run.id}"
    return as_json(shown(run), _ACCEPTED, {"Location": path, "Retry-After": "1"})
