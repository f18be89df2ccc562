"""What a pod held over time, and what of it goes out: the highest while open, then the mean."""

import pytest

from accounting.model.pods import Account, Owner, Pod, Reading, Resources
from accounting.model.records import Held, Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.builder import MB, Site
from accounting.records.identity import VoRules

NOVEMBER = Month(2025, 11)
T = NOVEMBER.start + 86400
SITE, RULES = Site("SITE"), VoRules(default="vo.example.org")
SMALL = Resources(cpu_request=2.0, memory_request_bytes=4096.0 * MB)
LARGE = Resources(
    cpu_request=8.0, memory_request_bytes=8192.0 * MB, accelerators=(("nvidia_com_gpu", 1.0),)
)


def pod(last: float, *, ended: bool, resources: Resources | None = SMALL) -> Pod:
    return Pod(
        "6b4f0d5e-0000-4000-8000-ffffffffffff",
        "hub",
        "jupyter-a",
        T,
        last,
        last,
        started_at=T,
        owner=Owner("a@example.org", "g"),
        resources=resources,
        resizes=((T + 900.0, LARGE), (T + 1800.0, SMALL)) if resources else (),
        ended=ended,
        owner_known=True,
    )


def records(of: Pod) -> list[Record]:
    return list(builder.records(Account(of, {}, {NOVEMBER: Reading(T, 1.0)}), SITE, RULES))


def test_an_open_month_says_the_highest_and_its_last_word_the_mean() -> None:
    running, done = records(pod(T + 3600, ended=False)), records(pod(T + 3600, ended=True))
    for (record,) in (running, done):
        assert record.core_seconds == 2 * 2700 + 8 * 900
        assert record.memory_mb_seconds == 4096 * 2700 + 8192 * 900
        assert "resized" in record.flags
    assert (running[0].cpu_count, running[0].memory_mb) == (8.0, 8192)
    assert (done[0].cpu_count, done[0].memory_mb) == (3.5, 5120)


def test_each_month_integrates_its_own_part() -> None:
    across = pod(NOVEMBER.end + 3600, ended=True)
    first, second = records(across)
    assert first.core_seconds == 2 * (first.used_wall_seconds - 900) + 8 * 900
    assert first.cpu_count == round(first.core_seconds / first.used_wall_seconds, 3)
    assert second.core_seconds == 2 * second.used_wall_seconds
    assert (second.cpu_count, "resized" in second.flags) == (2.0, False)


def test_a_resize_after_the_end_of_wall_time_changes_nothing() -> None:
    (record,) = records(pod(T + 600, ended=True))
    assert (record.cpu_count, record.core_seconds, record.flags) == (2.0, 1200, ())


@pytest.mark.parametrize("default", [None, 1.0])
def test_a_record_without_a_cpu_count_waits_for_a_default(default: float | None) -> None:
    account = Account(pod(T + 600, ended=True, resources=None), {}, {NOVEMBER: Reading(T, 1.0)})
    (record,) = builder.records(account, Site("SITE", default_cpu_count=default), RULES)
    assert record.held is (Held.INVALID if default is None else Held.NO)
    assert ("ACCOUNTING_RECORD__DEFAULT_CPU_COUNT" in record.problem) is (default is None)
