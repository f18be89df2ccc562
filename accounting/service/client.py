"""Drives a running service: starts a run, follows it, and brings back how it ended."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from accounting.errors import AccountingError, SettingsError
from accounting.model.jobs import Ending
from accounting.service.outcome import Outcome

_ANSWER_SECONDS = 60.0
_FOLLOW_SECONDS = 20
"""How long the service may keep a question about a run open."""

_MISSED_SECONDS = 60.0
"""How long the service may be away while a run is followed, as when its proxy restarts."""
_PAUSE_SECONDS = 1.0
_WRONG_USE = 2
_ACCEPTED, _CONFLICT, _NOT_FOUND, _OK = 202, 409, 404, 200


class ServiceError(AccountingError):
    """The service cannot be reached, or refuses."""


class Client:
    """Speaks to a service.

    Args:
        url: its address, with the prefix that a proxy in front of it keeps.
        token: one that may start runs.
    """

    def __init__(self, url: str, token: bytes) -> None:
        self.url = url.rstrip("/")
        self._headers = {b"Authorization": b"Bearer " + token, b"Accept": b"application/json"}

    def run(self, kind: str, parameters: Mapping[str, Any] | None = None) -> Outcome:
        """Start a run and wait for its end; before that, for one that is under way.

        Args:
            kind: ``poll``, ``push`` or ``republish``.
            parameters: of the run.

        Raises:
            ServiceError: the service cannot be reached, refuses, or has lost the run.
        """
        while True:
            answer = self._ask("POST", f"/api/v1/{kind}", parameters or {})
            if answer.status_code == _ACCEPTED:
                return self.follow(answer.json()["id"])
            if answer.status_code != _CONFLICT or "run" not in answer.json():
                raise self._refused(answer)
            self.follow(answer.json()["run"])

    def follow(self, name: str) -> Outcome:
        """Wait for the end of a run.

        Raises:
            ServiceError: the service cannot be reached, refuses, or has lost the run.
        """
        missed_since: float | None = None
        while True:
            try:
                answer = self._ask("GET", f"/api/v1/runs/{name}", {"wait": _FOLLOW_SECONDS})
            except ServiceError:
                missed_since = missed_since or time.monotonic()
                if time.monotonic() - missed_since > _MISSED_SECONDS:
                    raise
                time.sleep(_PAUSE_SECONDS)
                continue
            missed_since = None
            if answer.status_code == _NOT_FOUND:
                raise ServiceError(
                    "the service was restarted during the run",
                    "nothing is lost: run it again, it goes on from there",
                )
            if answer.status_code != _OK:
                raise self._refused(answer)
            run = answer.json()
            if run["state"] != "running":
                return _outcome(run)

    def acknowledge(self, uid: str, asked: Mapping[str, str]) -> int:
        """Acknowledge a notebook's held records, or reopen them; how many it reached.

        Args:
            uid: the pod's.
            asked: ``reason`` if they are to be acknowledged, and perhaps ``month``.

        Raises:
            ServiceError: the service cannot be reached or refuses, also if no record is held.
        """
        action = "acknowledge" if "reason" in asked else "reopen"
        answer = self._ask("POST", f"/api/v1/records/{quote(uid, safe='')}/{action}", asked)
        if answer.status_code != _OK:
            raise self._refused(answer)
        return int(answer.json()["records"])

    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> httpx.Response:
        try:
            return httpx.request(
                method,
                self.url + path,
                params=dict(parameters),
                headers=self._headers,
                timeout=_ANSWER_SECONDS,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServiceError(
                f"the service at {self.url} does not answer: {type(exc).__name__}",
                "check --url, and that 'notebooks-accounting serve' runs there",
            ) from exc

    def _refused(self, answer: httpx.Response) -> ServiceError:
        try:
            said = answer.json()
            return ServiceError(f"the service refused: {said['detail']}", said["cure"])
        except (ValueError, KeyError, TypeError):
            return ServiceError(
                f"{self.url} answers with {answer.status_code}, and not as this service does",
                "check --url: with a proxy, its prefix belongs to it, as /services/accounting",
            )


def _outcome(run: Mapping[str, Any]) -> Outcome:
    kind = SettingsError if run["exit_code"] == _WRONG_USE else AccountingError
    error = run["error"] and kind(run["error"]["error"], run["error"]["cure"])
    return Outcome(Ending(run["ending"]), run["result"], error)
