"""``/records/{uid}``: one notebook, the messages that took it, and what its records rest on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import Request
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Parts, Reader, Service
from accounting.api.formats import TableFormat, TableQuery
from accounting.api.models import (
    CounterModel,
    CountersModel,
    Model,
    NotebookModel,
    ReadingModel,
    ReadingsModel,
    TakenModel,
    TakingsModel,
)
from accounting.api.parameters import UidPath
from accounting.api.routes.records import shown
from accounting.api.strictness import endpoints
from accounting.api.tables import DESCRIBED, csv_file, is_csv, lines_of
from accounting.guard.problem import Problem
from accounting.lookup import notebooks
from accounting.lookup.evidence import Evidence, evidence
from accounting.lookup.notebooks import Notebook, Taken
from accounting.model.time import Month
from accounting.store.engine.access import Viewer
from accounting.wiring.months import open_from

router = endpoints("records", "/records/{uid}")

_NOT_FOUND = 404
_TABLE: dict[int | str, dict[str, Any]] = {**DESCRIBED, **refusals(404, 406)}


@router.get("", response_model=NotebookModel, responses=refusals(404))
def get_notebook(service: Parts, viewer: Reader, uid: UidPath) -> Response:
    """One notebook: its records by month, and the messages that took them."""
    found = notebook_of(service, viewer, uid)
    return as_json(
        {
            "uid": found.uid,
            "months": [shown(entry) for entry in found.months],
            "messages": list(map(_taken, found.messages)),
            "acknowledgements": [
                {"month": str(month), **asdict(one)}
                for month, one in found.acknowledgements.items()
            ],
        }
    )


@router.get("/messages", response_model=TakingsModel, responses=_TABLE)
def list_notebook_messages(
    *, request: Request, service: Parts, viewer: Reader, uid: UidPath, kind: TableQuery = None
) -> Response:
    """The messages that took a notebook's records, the earliest first."""
    rows = list(map(_taken, notebook_of(service, viewer, uid).messages))
    return _table(request, kind, TakenModel, {"messages": rows}, uid)


@router.get("/counters", response_model=CountersModel, responses=_TABLE)
def list_notebook_counters(
    *, request: Request, service: Parts, viewer: Reader, uid: UidPath, kind: TableQuery = None
) -> Response:
    """The counters that tell a notebook's CPU time and traffic, as they were read last.

    There are none where the ledger keeps only the notebook's records.
    """
    known = _known(service, viewer, uid)
    rows = list(map(asdict, known.counters)) if known else []
    return _table(request, kind, CounterModel, {"counters": rows}, uid)


@router.get("/readings", response_model=ReadingsModel, responses=_TABLE)
def list_notebook_readings(
    *, request: Request, service: Parts, viewer: Reader, uid: UidPath, kind: TableQuery = None
) -> Response:
    """A notebook's totals since its start, as they were last seen in each month.

    There are none where the ledger keeps only the notebook's records.
    """
    known = _known(service, viewer, uid)
    readings = sorted(known.account.readings.items()) if known else []
    rows = [{"month": str(month), **reading._asdict()} for month, reading in readings]
    return _table(request, kind, ReadingModel, {"readings": rows}, uid)


def notebook_of(service: Service, viewer: Viewer, uid: str) -> Notebook:
    """A notebook that the viewer may see; for the pages too.

    Raises:
        Forbidden: they may not, or there is none; only an administrator learns which.
        Problem: there is none.
    """
    since = open_from(service.settings, service.clock())
    found = notebooks.notebook(service.database, viewer, uid, since)
    if found is None:
        raise Problem(_NOT_FOUND, "no notebook has this uid", "look for it in the list of records")
    return found


def _known(service: Service, viewer: Viewer, uid: str) -> Evidence | None:
    """What a notebook rests on that the viewer may see; raises as ``notebook_of`` does."""
    notebook_of(service, viewer, uid)
    return evidence(service.database, uid, service.clock())


def _table(
    request: Request,
    kind: TableFormat | None,
    model: type[Model],
    answer: Mapping[str, list[dict[str, Any]]],
    uid: str,
) -> Response:
    """An answer of one list, or the list as a file with the columns of its model."""
    if not is_csv(request, kind):
        return as_json(answer)
    ((name, rows),) = answer.items()
    return csv_file(lines_of(tuple(model.model_fields), rows), f"{name}-{uid}")


def _taken(one: Taken) -> dict[str, Any]:
    return {**asdict(one), "month": str(Month(*one.month))}
