"""The state of a message broker as the ARGO Messaging Service keeps it: a topic, subscriptions.

A topic is a log; a message's id is its offset. A subscription is an offset into it: pulling hands
out what follows without reserving it, acknowledging moves the offset. Rules and texts after the
sources of the argo-messaging server.
"""

import base64
import binascii
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

# Exported without escaping, such an attribute makes the whole topic unreadable.
_POISON = re.compile(r"[\"\\\x00-\x1f]")

_STATUS_WORDS = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHORIZED",
    HTTPStatus.FORBIDDEN: "FORBIDDEN",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.REQUEST_TIMEOUT: "TIMEOUT",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "INVALID_ARGUMENT",
}


class ApiError(Exception):
    """An answer that is an error: its HTTP status and the broker's message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def body(self) -> dict[str, Any]:
        """The broker's error JSON."""
        word = _STATUS_WORDS.get(HTTPStatus(self.code), "INTERNAL_SERVER_ERROR")
        return {"error": {"code": self.code, "message": self.message, "status": word}}


@dataclass(frozen=True)
class StoredMessage:
    """One message of the topic; `data` decoded, `publish_time` aware UTC."""

    message_id: str
    attributes: dict[str, str]
    data: bytes
    publish_time: datetime

    def body(self) -> dict[str, Any]:
        """The message as a pull hands it out."""
        return {
            "messageId": self.message_id,
            "attributes": self.attributes,
            "data": base64.b64encode(self.data).decode(),
            "publishTime": self.publish_time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }


@dataclass
class _Subscription:
    offset: int = 0
    next_offset: int | None = None
    pulled_at: datetime | None = None


class Broker:
    """One project with one topic and its subscriptions; safe for threads.

    Args:
        project: its name.
        topic: its name.
        subscriptions: names; each starts at the first message.
        producer_limit: above this many bytes (base64) a message is answered with 413.
        log_limit: above this many bytes (base64), what lies behind the server refuses: 500.
        ack_seconds: how long after a pull an acknowledgement is taken.
        journal: a file that messages are appended to (a JSON line each) and read back from.
    """

    def __init__(
        self,
        project: str,
        topic: str,
        subscriptions: Sequence[str],
        *,
        producer_limit: int = 1_500_000,
        log_limit: int = 1_048_576,
        ack_seconds: float = 10.0,
        journal: Path | None = None,
    ) -> None:
        self.project = project
        self.topic = topic
        self.producer_limit = producer_limit
        self.log_limit = log_limit
        self.ack_seconds = ack_seconds
        self._journal = journal
        self._changed = threading.Condition()
        self._subscriptions = {name: _Subscription() for name in subscriptions}
        self._log: list[StoredMessage] = [] if journal is None else _read_journal(journal)

    @property
    def log(self) -> tuple[StoredMessage, ...]:
        """All messages, oldest first."""
        with self._changed:
            return tuple(self._log)

    def publish(self, messages: Sequence[Any], now: datetime) -> list[str]:
        """Append messages one by one; those before a bad one stay stored.

        Raises:
            ApiError: 400 for a bad message, 413 and 500 for too large a one.
        """
        if not messages:
            raise ApiError(400, "Invalid Message Arguments")
        return [self._append(message, now) for message in messages]

    def pull(self, subscription: str, most: int, wait_seconds: float) -> list[dict[str, Any]]:
        """Up to `most` messages after the subscription's offset, waiting for the first.

        Raises:
            ApiError: 404 for an unknown subscription, 500 for a poisoned message.
        """
        with self._changed:
            state = self._find(subscription)
            self._changed.wait_for(lambda: len(self._log) > state.offset, wait_seconds)
            chosen = self._log[state.offset : state.offset + most]
            if any(
                _POISON.search(text) for m in chosen for kv in m.attributes.items() for text in kv
            ):
                raise ApiError(500, "Message could not be exported")
            if chosen:
                state.next_offset = state.offset + len(chosen)
                state.pulled_at = datetime.now(UTC)
            prefix = self._ack_prefix(subscription)
            return [{"ackId": prefix + m.message_id, "message": m.body()} for m in chosen]

    def acknowledge(self, subscription: str, ack_ids: Sequence[Any], now: datetime) -> None:
        """Move the offset behind the highest acknowledged message.

        Raises:
            ApiError: 400 malformed id, 404 unknown subscription, 408 after the deadline, 500
                for an id that was not pulled.
        """
        with self._changed:
            state = self._find(subscription)
            highest = max(self._offset_of(subscription, ack_id) for ack_id in ack_ids or [None])
            if state.next_offset is None or state.pulled_at is None:
                raise ApiError(500, "no ack pending")
            if not state.offset < highest + 1 <= state.next_offset:
                raise ApiError(500, "wrong ack")
            if now - state.pulled_at > timedelta(seconds=self.ack_seconds):
                raise ApiError(408, "ack timeout")
            state.offset, state.next_offset, state.pulled_at = highest + 1, None, None

    def _append(self, message: Any, now: datetime) -> str:
        attributes, data = _parse(message)
        size = len(message.get("data", ""))
        if size > self.producer_limit:
            raise ApiError(413, "Message size is too large")
        if size > self.log_limit:
            raise ApiError(500, "Internal error, please try again later")
        with self._changed:
            stored = StoredMessage(str(len(self._log)), attributes, data, now)
            if self._journal is not None:
                with self._journal.open("a", encoding="ascii") as file:
                    file.write(json.dumps(stored.body()) + "\n")
            self._log.append(stored)
            self._changed.notify_all()
        return stored.message_id

    def _find(self, subscription: str) -> _Subscription:
        if subscription not in self._subscriptions:
            raise ApiError(404, "Subscription doesn't exist")
        return self._subscriptions[subscription]

    def _ack_prefix(self, subscription: str) -> str:
        return f"projects/{self.project}/subscriptions/{subscription}:"

    def _offset_of(self, subscription: str, ack_id: Any) -> int:
        prefix = self._ack_prefix(subscription)
        if not isinstance(ack_id, str) or not re.fullmatch(re.escape(prefix) + r"\d+", ack_id):
            raise ApiError(400, "Invalid ack id")
        return int(ack_id.removeprefix(prefix))


def _parse(message: Any) -> tuple[dict[str, str], bytes]:
    """The attributes and the decoded data of a published message."""
    fields = message if isinstance(message, dict) else {}
    attributes = fields.get("attributes") or {}
    data = fields.get("data")
    if (
        not isinstance(data, str)
        or not isinstance(attributes, dict)
        or not all(isinstance(value, str) for value in attributes.values())
    ):
        raise ApiError(400, "Invalid Message Arguments")
    try:
        return attributes, base64.b64decode(data, validate=True)
    except binascii.Error as exc:
        raise ApiError(400, "Invalid Message Arguments") from exc


def _read_journal(path: Path) -> list[StoredMessage]:
    """The messages of an earlier run. A last line cut short by a crash was never answered."""
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    path.write_bytes(whole + b"\n" * bool(whole))
    return [
        StoredMessage(
            entry["messageId"],
            entry["attributes"],
            base64.b64decode(entry["data"]),
            datetime.fromisoformat(entry["publishTime"]),
        )
        for entry in map(json.loads, whole.splitlines())
    ]
