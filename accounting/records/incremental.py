"""The records of pods that run on: from poll to poll only their figures move. Pure.

Drawing up a record anew takes ten times as long as filling in its new figures, and at any time
nearly all pods are the same as five minutes before.
"""

import hashlib
from dataclasses import dataclass
from operator import attrgetter

from accounting.model.energy import EnergyRules
from accounting.model.pods import Account, Pod, Reading
from accounting.model.records import Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.formats import apel

# All of a pod but when it was seen last, which is among the figures.
_described = attrgetter(
    *(name for name in Pod.__slots__ if name not in {"last_running_at", "last_listed_at"})
)


@dataclass(slots=True)
class RunningRecord:
    """The latest record of a pod that runs, and what of it holds as long as the pod is the same.

    Attributes:
        record: as it was written last.
        description: of the pod, as it was then.
        wall_before, cpu_before: seconds that the month before accounts for.
        rules: how energy is found out; None: it is not.
        fixed: the text that goes out, around the figures; made when it is first needed.
    """

    record: Record
    description: tuple[object, ...]
    wall_before: int
    cpu_before: int
    rules: EnergyRules | None = None
    fixed: tuple[str, str, str] | None = None

    @classmethod
    def of(
        cls, account: Account, record: Record, rules: EnergyRules | None = None
    ) -> "RunningRecord | None":
        """Of a page and its latest record; None if more than figures may move."""
        if (
            account.pod.ended
            or account.pod.resizes
            or account.pod.has_accelerators
            or record.cpu_seconds is None
            or record.used_cpu_seconds is None
        ):
            return None
        return cls(
            record,
            _described(account.pod),
            record.wall_seconds - record.used_wall_seconds,
            record.cpu_seconds - record.used_cpu_seconds,
            rules,
        )

    def move(self, account: Account, month: Month) -> Record | None:
        """Bring the record up to the page as it is at the end of a window of ``month``.

        Returns:
            The same record with new figures; None if it must be drawn up anew.
        """
        pod, record = account.pod, self.record
        seen_at = int(pod.last_running_at)
        reading = account.readings.get(month)
        if (
            record.month != month
            or reading is None
            or reading.cpu_seconds is None
            or Month.of(seen_at) != month
            or _described(pod) != self.description
        ):
            return None
        self._fill(reading, seen_at)
        builder.tell_energy(record, account, self.rules)
        return record

    def _fill(self, reading: Reading, seen_at: int) -> None:
        record = self.record
        record.created_at = seen_at
        record.wall_seconds = wall = max(0, seen_at - record.start_at)
        record.used_wall_seconds = used = wall - self.wall_before
        record.core_seconds = _times(used, record.cpu_count)
        record.memory_mb_seconds = _times(used, record.memory_mb)
        record.cpu_seconds = cpu = int(reading.cpu_seconds or 0)
        record.used_cpu_seconds = cpu - self.cpu_before
        record.received_gb = received = builder.gigabytes(reading.received_bytes)
        record.sent_gb = sent = builder.gigabytes(reading.sent_bytes)
        if self.fixed is None:
            self.fixed = _around_figures(record)
        head, middle, tail = self.fixed
        inbound = "" if received is None else f"NetworkInbound: {received}\n"
        outbound = "" if sent is None else f"NetworkOutbound: {sent}\n"
        text = (
            f"RecordCreateTime: {seen_at}\n{head}WallDuration: {wall}\nCpuDuration: {cpu}\n"
            f"{middle}{inbound}{outbound}{tail}"
        )
        record.digest = hashlib.sha256(text[:-1].encode()).hexdigest()


def _times(seconds: int, size: float | None) -> float | None:
    return None if size is None else round(float(seconds * size), 3)


def _around_figures(record: Record) -> tuple[str, str, str]:
    """What a record's text says before, between and after the figures."""
    values = apel.fields(record)
    keys = list(values)
    wall, cpu = keys.index("WallDuration"), keys.index("CpuDuration")
    inbound, outbound = keys.index("NetworkInbound"), keys.index("NetworkOutbound")
    head, middle, tail = (
        "".join(f"{line}\n" for line in apel.lines({key: values[key] for key in part}))
        for part in (keys[1:wall], keys[cpu + 1 : inbound], keys[outbound + 1 :])
    )
    return head, middle, tail
