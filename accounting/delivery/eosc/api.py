"""The accounting system's API of EOSC, as far as hours need it.

Source: ARGOeu/argo-accounting (its docs, MetricRequestDto and endpoints). It does not de-duplicate:
the unique index was dropped in 2024, so a second POST is a second metric. Who does not know whether
a POST arrived must read first.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from accounting.delivery.eosc.login import Login
from accounting.delivery.exchange import Answer, Exchange
from ssm.errors import Refused, Rejected, TokenExpired, Unavailable

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _BUSY = 401, 403, 404, 409, 429
_SERVER_ERROR = 500
_PAGE = 100
_MOST_PAGES = 10_000
_SHOWN = 200


class Conflict(Rejected):
    """The receiver says that it has such a metric: servers before July 2024 do."""


class Unknown(Rejected):
    """The receiver has no such metric, definition or installation."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A metric as the receiver keeps it.

    Attributes:
        id: the receiver's own.
        value: hours.
        period: (begin, end), aware; None where it cannot be read.
        user, group: empty where none is given.
    """

    id: str
    definition: str
    value: float
    period: tuple[datetime, datetime] | None
    user: str
    group: str


class Api:
    """Asks the accounting system.

    Args:
        exchange: reaches it; the base ends before ``/accounting-system``.
        login: gives tokens for it.
    """

    def __init__(self, exchange: Exchange, login: Login) -> None:
        self._exchange = exchange
        self._login = login

    def add(self, installation: str, metric: dict[str, Any]) -> str:
        """Make a metric; returns the id that it was given.

        Raises:
            Conflict: there is one already.
            Rejected: this metric is refused.
            Refused: nothing is taken from us.
            Unavailable: not known to be made. It may be all the same.
        """
        return _id(self._done("POST", f"{installation}/metrics", json=metric))

    def change(self, installation: str, number: str, hours: float) -> None:
        """Correct a metric's value.

        Raises:
            Unknown: there is none with this id.
            Rejected, Refused, Unavailable: as ``add``.
        """
        self._done("PATCH", f"{installation}/metrics/{number}", json={"value": hours})

    def remove(self, installation: str, number: str) -> None:
        """Delete a metric; one that is not there is no error.

        Raises:
            Rejected, Refused, Unavailable: as ``add``.
        """
        try:
            self._done("DELETE", f"{installation}/metrics/{number}")
        except Unknown:
            return

    def kept(self, installation: str, definition: str, day: date) -> Iterator[Kept]:
        """All metrics of a definition that may be of a UTC day.

        A day's end is the next one's midnight: whether the receiver counts that as within the day
        is not documented, so the next day is asked for, too.

        Raises:
            Rejected, Refused, Unavailable: as ``add``.
        """
        asked = {
            "size": str(_PAGE),
            "start": day.isoformat(),
            "end": (day + timedelta(days=1)).isoformat(),
            "metric-definition-id": definition,
        }
        for page in range(1, _MOST_PAGES):
            params = {"page": str(page), **asked}
            found = self._done("GET", f"{installation}/metrics", params=params)
            content, pages = _page(found, self._exchange.place)
            yield from content
            if page >= pages:
                return

    def close(self) -> None:
        """Close the connections; the token is kept."""
        self._exchange.close()

    def _done(self, method: str, path: str, **what: Any) -> Any:
        """The parsed answer of a request that went well."""
        answer = self._asked(method, path, **what)
        if answer.status == _UNAUTHORIZED:
            self._login.forget()
            answer = self._asked(method, path, **what)
        if not answer.is_good:
            raise self._failure(answer, f"{method} {path.partition('?')[0]}")
        try:
            return json.loads(answer.content) if answer.content else {}
        except ValueError as exc:
            raise _unreadable(self._exchange.place) from exc

    def _asked(self, method: str, path: str, **what: Any) -> Answer:
        bearer = {"Authorization": f"Bearer {self._login.token()}"}
        where = f"/accounting-system/installations/{path}"
        return self._exchange.ask(method, where, headers=bearer, **what)

    def _failure(self, answer: Answer, asked: str) -> Exception:
        """By the status: what it says beside that may name people."""
        place, status = self._exchange.place, answer.status
        what = f"{place} answers {status} to {asked}"
        if status == _UNAUTHORIZED:
            return TokenExpired(what, "It refuses a fresh token: check its provider and scopes.")
        if status == _FORBIDDEN:
            return Refused(
                what,
                "Have the client given the roles to add, change and read metrics of this"
                " installation.",
            )
        if status == _BUSY or status >= _SERVER_ERROR:
            return Unavailable(what, "It is tried again; see the receiver's status page.")
        kinds: dict[int, Callable[[str, str], Exception]] = {_CONFLICT: Conflict}
        kinds[_NOT_FOUND] = Unknown
        return kinds.get(status, Rejected)(
            what, "Check the ids of the installation and the metric definition in the settings."
        )


def _id(said: Any) -> str:
    """The id in an answer; both spellings of the documentation."""
    number = said.get("metric_id") or said.get("id") if isinstance(said, dict) else None
    if not isinstance(number, str) or not number.isalnum() or len(number) > _SHOWN:
        raise Unavailable(
            "The receiver made a metric and did not tell its id",
            "It is looked up before the next try.",
        )
    return number


def _page(said: Any, place: str) -> tuple[list[Kept], int]:
    try:
        pages = int(said["total_pages"])
        return [
            Kept(
                str(one.get("metric_id") or one["id"]),
                str(one["metric_definition_id"]),
                float(one["value"]),
                _period(one),
                str(one.get("user_id") or ""),
                str(one.get("group_id") or ""),
            )
            for one in said["content"]
        ], pages
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _unreadable(place) from exc


def _period(one: dict[str, Any]) -> tuple[datetime, datetime] | None:
    try:
        begin, end = (
            datetime.fromisoformat(str(one[f"time_period_{name}"])) for name in ("start", "end")
        )
    except ValueError:
        return None
    # Without a zone, it is UTC.
    return tuple(  # type: ignore[return-value] # two of two
        at if at.tzinfo else at.replace(tzinfo=UTC) for at in (begin, end)
    )


def _unreadable(place: str) -> Unavailable:
    return Unavailable(
        f"{place} gave an answer that is not the API's",
        "It is tried again; check the address, and proxies on the way.",
    )
