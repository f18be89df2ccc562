"""APEL's cloud summaries: what each user of a VO used in a month, by image and size.

Source: EGI's documentation of the cloud summary message; the repository replaces a summary by its
group. So a group is sent whole, and one that is no more is sent with nothing in it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from accounting.delivery.outlets.computed import Computed
from accounting.delivery.receiver import pairs_due, split
from accounting.model.messages import Entry, OutletKind, RecordKey
from accounting.model.pods import ERASED
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.store.tables import delivered, progress, windows

HEADER = "APEL-cloud-summary-message: v0.4"
GROUP = (
    "SiteName",
    "CloudComputeService",
    "GlobalUserName",
    "VO",
    "VOGroup",
    "VORole",
    "CloudType",
    "ImageId",
    "CpuCount",
    "BenchmarkType",
    "Benchmark",
)
"""The summary's key, with its month. A status would change it while the month is open."""
# Names that the repository keeps once, however they are spelled (apel.md, rule 9).
_MERGED = frozenset({"GlobalUserName", "VO", "VOGroup", "VORole"})
_USED = ("WallDuration", "CpuDuration", "NetworkInbound", "NetworkOutbound")
_HELD = ("Memory", "Disk")
_COUNTED = (*_USED, *_HELD, "NumberOfVMs")

Texts = Mapping[str, str]


@dataclass(slots=True)
class Sum:
    """One group's figures: seconds, GB, MB, and how many notebooks."""

    group: Texts
    starts: list[int] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))

    def add(self, now: Texts, before: Texts) -> None:
        """Take in a record: what it used since the month before."""
        self.starts.append(int(now["StartTime"]))
        for name in _USED:
            self.figures[name] += int(now.get(name, 0)) - int(before.get(name, 0))
        for name in _HELD:
            self.figures[name] += int(now.get(name, 0))
        self.figures["NumberOfVMs"] += 1


def summed(pairs: Iterable[tuple[Texts, Texts]]) -> dict[tuple[str, ...], Sum]:
    """Sums by group. Pure.

    Args:
        pairs: (a record's keys and values, those of the same pod in the month before), which are
            cumulative.
    """
    sums: dict[tuple[str, ...], Sum] = {}
    for now, before in pairs:
        if now.get("GlobalUserName") == ERASED:
            continue  # what was told of them stays as it is
        vo, group, role = split(now.get("FQAN", "None"))
        values = {**now, "VO": vo, "VOGroup": group, "VORole": role}
        chosen = {name: values[name] for name in GROUP if values.get(name)}
        sums.setdefault(_merged(chosen), Sum(chosen)).add(now, before)
    return sums


def _merged(group: Texts) -> tuple[str, ...]:
    """The group's key: one for all spellings that the repository takes for the same."""
    found = ((name, group.get(name, "")) for name in GROUP)
    return tuple(text.casefold() if name in _MERGED else text for name, text in found)


def text(month: Month, one: Sum) -> str:
    """A summary as a message carries it, with its closing separator."""
    values: dict[str, Any] = {
        **{name: one.group.get(name) for name in GROUP[:2]},
        "Month": month.month,
        "Year": month.year,
        **{name: one.group.get(name) for name in GROUP[2:]},
        "EarliestStartTime": min(one.starts, default=None),
        "LatestStartTime": max(one.starts, default=None),
        **one.figures,
    }
    return "\n".join([*apel.lines(values), apel.SEPARATOR, ""])


def key_of(group: Texts) -> str:
    """The group's key in what is noted of its delivery; it names nobody."""
    return hashlib.sha256("\n".join(_merged(group)).encode()).hexdigest()


class Summaries(Computed):
    """Monthly sums. A month that was measured only in part is not sent: it could replace a whole.

    A month is measured in part if the first window begins within it.
    """

    kind = OutletKind.SUMMARIES

    def entries(self, connection: Connection, destination: str, month: Month) -> list[Entry]:
        """See ``Computed``."""
        first = connection.execute(select(func.min(windows.c.start))).scalar()
        if first is None or first > month.start:
            return []
        watermark = connection.execute(select(progress.c.watermark)).scalar() or 0
        sums = {key_of(one.group): one for one in summed(pairs_due(connection, month)).values()}
        for key, group in self._held(connection, destination, month).items():
            sums.setdefault(key, Sum(group))
        return [
            Entry(RecordKey(key, *month), said, self.digest(said), final=watermark >= month.end)
            for key, one in sorted(sums.items())
            for said in (text(month, one),)
        ]

    def _held(self, connection: Connection, destination: str, month: Month) -> Mapping[str, Texts]:
        """The groups that the receiver holds, as far as their names are not forgotten."""
        query = select(delivered.c.text).where(
            delivered.c.year == month.year,
            delivered.c.month == month.month,
            delivered.c.destination == destination,
            delivered.c.text != "",
        )
        groups = (apel.parsed(said) for said in connection.execute(query).scalars())
        return {key_of(group): group for group in groups}

    def body(self, texts: Sequence[str]) -> str:
        """See ``Outlet``."""
        return f"{HEADER}\n" + "".join(texts)

    def texts(self, body: str) -> list[str]:
        """See ``Outlet``."""
        return apel.texts(body)

    def digest(self, said: str) -> str:
        """See ``Outlet``."""
        return apel.text_digest(said)
