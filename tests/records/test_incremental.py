"""Records of pods that run on: filled in, they are what they would be if drawn up anew."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.model.pods import Account, Owner, Pod, Reading
from accounting.model.records import Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.records.incremental import RunningRecord

NOVEMBER, DECEMBER = Month(2025, 11), Month(2025, 12)
T = NOVEMBER.end - 7200
SITE, RULES = Site("SITE"), VoRules(default="vo.example.org")

pods = st.builds(
    Pod,
    st.just("6b4f0d5e-0000-4000-8000-ffffffffffff"),
    st.just("hub"),
    st.just("jupyter-a"),
    st.just(T + 1.5),
    st.just(T + 60.0),
    st.just(T + 60.0),
    started_at=st.none() | st.just(T - 3.0),
    owner=st.builds(Owner, st.sampled_from(["", "ž\n%%", "a@example.org"]), st.just("g")),
    image=st.sampled_from(["", "img"]),
    disk_bytes=st.none() | st.just(2.0**31),
    owner_known=st.booleans(),
)
amounts = st.none() | st.floats(0, 1e15)
readings = st.builds(Reading, st.just(T + 120), st.floats(0, 1e9), amounts, amounts)


def latest(account: Account) -> Record:
    return list(builder.records(account, SITE, RULES))[-1]


def kept(account: Account) -> RunningRecord:
    known = RunningRecord.of(deepcopy(account), latest(account))
    assert known is not None
    return known


@given(pods, readings, st.lists(readings, min_size=1, max_size=3), st.booleans())
def test_a_record_with_new_figures_is_what_would_be_drawn_up(
    pod: Pod, first: Reading, later: list[Reading], has_month_before: bool
) -> None:
    month = DECEMBER if has_month_before else NOVEMBER
    if has_month_before:
        pod.last_running_at = NOVEMBER.end + 30.0
    account = Account(pod, {}, {NOVEMBER: first, month: first})
    known = kept(account)
    for reading in later:
        pod.last_running_at += 60
        account.readings[month] = reading
        assert known.move(account, month) == latest(account)


def running() -> Account:
    pod = Pod("uid", "hub", "name", T + 1.5, T + 60.0, T + 60.0)
    return Account(pod, {}, {NOVEMBER: Reading(T + 60, 5.0, None, None)})


@pytest.mark.parametrize(
    "changes",
    [
        {"ended": True},
        {"image": "another"},
        {"owner_known": True},
        {"peak_memory_bytes": 5.0},
        {"first_running_at": T + 1.0},
        {"last_running_at": NOVEMBER.end + 1.0},
        {"completed_at": T + 2.0},
    ],
    ids=str,
)
def test_a_pod_that_is_not_the_same_has_its_record_drawn_up_anew(
    changes: dict[str, Any],
) -> None:
    account = running()
    known = kept(account)
    changed = Account(replace(account.pod, **changes), {}, account.readings)
    assert known.move(changed, NOVEMBER) is None


def test_in_another_month_or_without_cpu_time_the_record_is_drawn_up_anew() -> None:
    account = running()
    known = kept(account)
    assert known.move(account, DECEMBER) is None
    account.readings[NOVEMBER] = Reading(T + 120)
    assert known.move(account, NOVEMBER) is None
    assert RunningRecord.of(account, latest(account)) is None
