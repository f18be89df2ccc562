"""Tells messages of energy to GreenDIGIT's CIM.

The CIM stores each submission as it is, as one document, and does not de-duplicate. An answer may
have been lost, or this process killed after it was stored; or a ledger was restored from a backup,
and the same records go out in other messages. So the sender looks for the very same records before
it submits any, and submits only those that are not there.
"""

import json
from contextlib import closing
from typing import Any

from accounting.delivery.cim.login import Login
from accounting.delivery.exchange import Answer, Exchange
from ssm.errors import Refused, Rejected, TokenExpired, TooLarge, Unavailable

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE = 401, 403, 404, 410
_LARGE, _BUSY, _SERVER_ERROR = 413, 429, 500
_MOST_DOCUMENTS = 20
_MOST_PAGES = 100


class CimSender:
    """Delivers messages of energy; see ``ssm.sender.Sender``.

    Args:
        exchange: reaches the CIM; the base ends with the API's version.
        login: gives tokens for it.
    """

    ascii_only = False

    def __init__(self, exchange: Exchange, login: Login) -> None:
        self._exchange = exchange
        self._login = login

    @property
    def name(self) -> str:
        """The API's address."""
        return self._exchange.place

    def send(self, body: str, message_id: str) -> str:  # noqa: ARG002 - it takes no ids of ours
        """Submit what of a message the CIM does not have.

        Returns:
            The CIM's id of the document.

        Raises:
            Rejected: it does not take this message.
            TooLarge: the message must be split.
            CertificateError, Refused, Unavailable: as their names say.
        """
        events = json.loads(body)
        with closing(self._exchange):
            held = self._held(events)
            missing = [event for event in events if _text(event) not in held]
            if not missing:
                return held[_text(events[-1])]
            said = self._done("POST", "/submit", json=missing)
        try:
            return str(said["stored"]["inserted_id"])
        except (KeyError, TypeError) as exc:
            raise self._unreadable() from exc

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    def check(self) -> tuple[str, ...]:
        """Log in, and look for a record; returns no warnings.

        Whether the publisher may submit is not known before something is submitted.

        Raises:
            CertificateError, Refused, Unavailable: as ``send``.
        """
        with closing(self._exchange):
            self._page([("limit", "1")])
        return ()

    def _held(self, events: list[dict[str, Any]]) -> dict[str, str]:
        """The texts of our records of the same days that the CIM has, and their documents' ids."""
        asked = [
            ("filter_key", f"SiteName={events[0]['SiteName']}"),
            ("start", min(one["StartExecTime"] for one in events)),
            ("end", max(one["EndExecTime"] for one in events)),
            ("limit", str(_MOST_DOCUMENTS)),
        ]
        held: dict[str, str] = {}
        wanted = {_text(one) for one in events}
        for page in range(1, _MOST_PAGES):
            found = self._page([*asked, ("page", str(page))])
            for document in found:
                number, body = str(document.get("_id", "")), document.get("body")
                held |= {_text(one): number for one in (body if isinstance(body, list) else [body])}
            if len(found) < _MOST_DOCUMENTS or wanted <= held.keys():
                break
        return held

    def _page(self, asked: list[tuple[str, str]]) -> list[dict[str, Any]]:
        said = self._done("GET", "/cim-records", params=asked)
        try:
            return [dict(one) for one in said["records"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise self._unreadable() from exc

    def _done(self, method: str, path: str, **what: Any) -> Any:
        """The parsed answer of a request that went well."""
        answer = self._asked(method, path, **what)
        if answer.status == _UNAUTHORIZED:
            self._login.forget()
            answer = self._asked(method, path, **what)
        if not answer.is_good:
            raise self._failure(answer, f"{method} {path}")
        try:
            return json.loads(answer.content)
        except ValueError as exc:
            raise self._unreadable() from exc

    def _asked(self, method: str, path: str, **what: Any) -> Answer:
        bearer = {"Authorization": f"Bearer {self._login.token()}"}
        return self._exchange.ask(method, path, headers=bearer, **what)

    def _failure(self, answer: Answer, asked: str) -> Exception:
        """By the status."""
        status = answer.status
        what = f"{self.name} answers {status} to {asked}"
        if status == _UNAUTHORIZED:
            return TokenExpired(what, "It refuses a fresh token: it is tried again.")
        if status == _FORBIDDEN:
            return Refused(what, "Ask GreenDIGIT to give the publisher the role 'publish'.")
        if status in {_NOT_FOUND, _GONE}:
            return Refused(what, "Check the API's address, which ends with its version.")
        if status == _LARGE:
            return TooLarge(what, "It is split.")
        if status == _BUSY or status >= _SERVER_ERROR:
            return Unavailable(what, "It is tried again; see the CIM's health page.")
        return Rejected(what, "Look at the message; please report this.")

    def _unreadable(self) -> Unavailable:
        return Unavailable(
            f"{self.name} gave an answer that is not the API's",
            "It is tried again; check the address, and proxies on the way.",
        )


def _text(event: Any) -> str:
    """A record, to compare it with others."""
    return json.dumps(event, sort_keys=True)
