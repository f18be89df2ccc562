"""Tells a message's hours to EOSC's accounting, a figure at a time.

A message may have been told in part before, by an attempt that died or lost an answer. So each
figure that has an id is corrected, and one that has none is looked for at the receiver before it is
made; its id is kept as soon as it is known::

    told by this message already ──────────────────────────► next figure
    has an id ── PATCH ── answer ── note ──────────────────► next figure
         └─ 404: the receiver has it no more ─┐
    has none ◄────────────────────────────────┘
         ├─ GET finds it ── adopt: note, PATCH if it differs, DELETE what is there twice
         └─ GET does not ── POST ── answer ── note
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accounting.delivery.eosc.api import Api, Conflict, Kept, Unknown
from accounting.delivery.eosc.ids import Ids, Told
from accounting.delivery.outlets.hours import Hours, figure_of, key_of
from accounting.records.daily import DAY_SECONDS, Figure, Metric, Metrics
from ssm.errors import Rejected

_Place = tuple[Metric, int]
"""(metric, day): what is read from the receiver at once."""


@dataclass(slots=True)
class _Telling:
    """One attempt to tell a message.

    Attributes:
        message: our id of it.
        read: what the receiver holds of some days, read once for a message.
    """

    api: Api
    ids: Ids
    message: str
    read: dict[_Place, dict[tuple[str, str], list[Kept]]] = field(default_factory=dict)

    def tell(self, key: str, figure: Figure, values: Mapping[str, Any], told: Told | None) -> None:
        """Tell one figure, and keep its id.

        Args:
            key: its key.
            figure: whose it is.
            values: its text's.
            told: what is known of it at the receiver.
        """
        if told is not None and self._is_changed(key, figure, values, told):
            return
        if kept := self._kept(figure):
            self._adopt(key, figure, kept, values["value"])
        elif values["value"]:  # nothing is there, and nothing is what should be
            self._add(key, figure, values)

    def _is_changed(self, key: str, figure: Figure, values: Mapping[str, Any], told: Told) -> bool:
        try:
            self.api.change(figure.metric.installation, told.id, values["value"])
        except Unknown:
            self.ids.forget(key)
            return False
        self._note(key, told.id)
        return True

    def _add(self, key: str, figure: Figure, values: Mapping[str, Any]) -> None:
        metric = {name: value for name, value in values.items() if name != "installation"}
        try:
            number = self.api.add(figure.metric.installation, metric)
        except Conflict:
            self.read.pop((figure.metric, figure.day), None)
            kept = self._kept(figure)
            if not kept:
                raise
            self._adopt(key, figure, kept, values["value"])
        else:
            self._note(key, number)

    def _adopt(self, key: str, figure: Figure, kept: Sequence[Kept], hours: float) -> None:
        """Make what the receiver holds ours; there may be several, as it does not de-duplicate."""
        first, *others = kept
        for one in others:
            self.api.remove(figure.metric.installation, one.id)
        if first.value != hours:
            self.api.change(figure.metric.installation, first.id, hours)
        self._note(key, first.id)

    def _note(self, key: str, number: str) -> None:
        self.ids.note(key, Told(number, self.message))

    def _kept(self, figure: Figure) -> list[Kept]:
        """The metrics that are this figure's, the first one first."""
        place = (figure.metric, figure.day)
        if place not in self.read:
            self.read[place] = self._read(figure)
        return self.read[place].get((figure.user, figure.vo), [])

    def _read(self, figure: Figure) -> dict[tuple[str, str], list[Kept]]:
        begin, end = (
            datetime.fromtimestamp(day * DAY_SECONDS, UTC) for day in (figure.day, figure.day + 1)
        )
        found: dict[tuple[str, str], list[Kept]] = defaultdict(list)
        for one in self.api.kept(*figure.metric, begin.date()):
            if one.period == (begin, end) and one.definition == figure.metric.definition:
                found[one.user, one.group].append(one)
        return found


class HoursSender:
    """Delivers messages of hours; see ``ssm.sender.Sender``.

    Args:
        name: the destination's, stable over restarts.
        api: reaches it.
        ids: what it has given.
        metrics: those of the settings, for ``check``.
        now: tells Unix time.
    """

    ascii_only = False

    def __init__(
        self,
        name: str,
        api: Api,
        ids: Ids,
        metrics: Iterable[Metric] = (),
        now: Callable[[], float] = lambda: datetime.now(UTC).timestamp(),
    ) -> None:
        self._name = name
        self._api = api
        self._ids = ids
        self._metrics = sorted(set(metrics))
        self._now = now

    @property
    def name(self) -> str:
        """The API's address."""
        return self._name

    def send(self, body: str, message_id: str) -> str:
        """Tell all figures of a message; those that are refused do not keep the others.

        Returns:
            How many metrics it set: the receiver knows no messages.

        Raises:
            Rejected: some were refused; all others were told.
            CertificateError, Refused, Unavailable: it stopped there, and goes on there next time.
        """
        with closing(self._api):
            return self._send(_figures(body), message_id)

    def _send(self, figures: Mapping[str, tuple[Figure, dict[str, Any]]], message_id: str) -> str:
        known = self._ids.of(figures)
        telling = _Telling(self._api, self._ids, message_id)
        refused: list[Rejected] = []
        for key, (figure, values) in figures.items():
            told = known.get(key)
            if told is not None and told.message == message_id:
                continue
            try:
                telling.tell(key, figure, values, told)
            except Rejected as exc:
                refused.append(exc)
        if refused:
            raise Rejected(
                f"{len(refused)} of {len(figures)} figures were refused: {refused[0].message}",
                f"{refused[0].cure} The others were told.",
            )
        return f"{len(figures)} metrics"

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    def check(self) -> tuple[str, ...]:
        """Log in, and read a page of each metric; returns no warnings.

        Raises:
            CertificateError, Refused, Unavailable: as ``send``.
        """
        today = datetime.fromtimestamp(self._now(), UTC).date()
        with closing(self._api):
            for metric in self._metrics:
                next(iter(self._api.kept(*metric, today)), None)
        return ()


def _figures(body: str) -> dict[str, tuple[Figure, dict[str, Any]]]:
    """By key, in the message's order."""
    lines = [json.loads(text) for text in Hours(Metrics()).texts(body)]
    found = ((figure_of(values), values) for values in lines)
    return {key_of(figure): (figure, values) for figure, values in found}
