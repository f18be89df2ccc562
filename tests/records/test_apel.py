"""APEL records: what they say, what is refused, and how they are written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.model.pods import Account, Owner, Pod, Reading, Resources
from accounting.model.records import Held, Record, Status, Vo
from accounting.model.time import Month
from accounting.records import builder, validation
from accounting.records.builder import Site
from accounting.records.formats import apel
from accounting.records.identity import Privacy, VoRules
from accounting.store.records import totals

UID = "6b4f0d5e-0000-4000-8000-000000000001"
NOVEMBER = Month(2025, 11)
T = NOVEMBER.start
MB = 2**20
GB = 2**30
SITE = Site("EXAMPLE-SITE", "notebooks.example.org", benchmark_type="HEPscore23", benchmark=12.5)
ENTITLEMENT = "urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"


def page(**changes: Any) -> Account:
    """A pod that ran for an hour and ended."""
    pod = Pod(
        uid=UID,
        namespace="hub",
        name="jupyter-a",
        first_running_at=T + 10.5,
        last_running_at=T + 3600.9,
        last_listed_at=T + 3600.9,
        created_at=T + 1.0,
        started_at=T + 2.0,
        owner=Owner("a@example.org", ENTITLEMENT, "small"),
        resources=Resources(1.5, 2.0, 2.0 * GB, 4.0 * GB, (("nvidia_com_gpu", 1.0),)),
        image="image:1",
        disk_bytes=10.0 * GB,
        ended=True,
        owner_known=True,
    )
    reading = Reading(T + 3700, 812.75, 3.9 * GB, 0.2 * GB)
    return Account(replace(pod, **changes), {}, {NOVEMBER: reading})


def records(account: Account, site: Site = SITE, rules: VoRules | None = None) -> list[Record]:
    return list(builder.records(account, site, rules or VoRules()))


def record(**changes: Any) -> Record:
    (only,) = records(page())
    return replace(only, **changes)


TEXT = f"""RecordCreateTime: {T + 3600}
VMUUID: {UID}
SiteName: EXAMPLE-SITE
CloudComputeService: notebooks.example.org
MachineName: jupyter-a
LocalUserId: a@example.org
LocalGroupId: {ENTITLEMENT}
GlobalUserName: a@example.org
FQAN: /vo.example.org/Role=member
Status: completed
StartTime: {T + 2}
EndTime: {T + 3600}
SuspendDuration: 0
WallDuration: 3598
CpuDuration: 812
CpuCount: 1.5
NetworkInbound: 3
NetworkOutbound: 0
Memory: 2048
Disk: 10
BenchmarkType: HEPscore23
Benchmark: 12.5
ImageId: image:1
CloudType: EGI Notebooks
%%
"""


def test_a_completed_pod_is_written_as_the_repository_reads_it() -> None:
    assert [apel.text(one) for one in records(page())] == [TEXT]


def test_a_message_is_a_header_and_its_records() -> None:
    assert apel.message([TEXT, TEXT]) == f"APEL-cloud-message: v0.4\n{TEXT}{TEXT}"


def test_a_running_pod_has_no_end_and_unknown_figures_have_no_line() -> None:
    bare = page(ended=False, owner=Owner(), resources=None, image="", disk_bytes=None)
    bare.readings.clear()
    (only,) = records(bare, Site("S"), VoRules(default="d"))
    assert apel.text(only) == (
        f"RecordCreateTime: {T + 3600}\nVMUUID: {UID}\nSiteName: S\nMachineName: jupyter-a\n"
        f"FQAN: /d\nStatus: started\nStartTime: {T + 2}\nSuspendDuration: 0\nWallDuration: 3598\n"
        "CloudType: EGI Notebooks\n%%\n"
    )


FLAGS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("1: all is known", {}, ()),
    ("2: no start", {"started_at": None}, ("start from creation",)),
    ("3: no creation", {"started_at": None, "created_at": None}, ("start from first sample",)),
    ("4: ended in a gap", {"ended_in_gap": True}, ("ended in a gap",)),
    ("5: no owner", {"owner": Owner()}, ("default VO", "no user")),
    (
        "6: limits only",
        {"resources": Resources(None, 2.0, None, 4.0 * GB)},
        ("CPU count from limits", "memory from limits"),
    ),
    (
        "7: peak use",
        {"resources": None, "peak_memory_bytes": 300.4 * MB},
        ("CPU count unknown", "memory from peak use"),
    ),
    ("8: nothing asked", {"resources": None}, ("CPU count unknown", "memory unknown")),
]


@pytest.mark.parametrize(("case", "changes", "flags"), FLAGS, ids=[c[0] for c in FLAGS])
def test_what_was_estimated_is_flagged(
    case: str, changes: dict[str, Any], flags: tuple[str, ...]
) -> None:
    (only,) = records(page(**changes), rules=VoRules(default="d"))
    assert only.flags == flags, case


BOTH = Resources(1.0, 2.0, 1024.0 * MB, 2048.0 * MB)
REQUESTS = Resources(1.0, None, 1024.0 * MB, None)
LIMITS = Resources(None, 2.0, None, 2048.0 * MB)
NEITHER = Resources()
SIZES: list[tuple[str, Resources | None, dict[str, Any], float | None, int | None]] = [
    ("1: requests", BOTH, {}, 1.0, 1024),
    ("2: limits by setting", BOTH, {"cpu_from_limits": True}, 2.0, 2048),
    ("3: limits where there are no requests", LIMITS, {}, 2.0, 2048),
    ("4: requests where there are no limits", REQUESTS, {"cpu_from_limits": True}, 1.0, 1024),
    ("5: defaults", NEITHER, {"default_cpu_count": 0.5, "default_memory_mb": 512}, 0.5, 512),
    ("6: peak use", None, {}, None, 300),
    ("7: three decimals", Resources(1 / 3), {}, 0.333, 300),
    ("8: MB are rounded", Resources(1.0, None, 1_500_000_000.0), {}, 1.0, 1431),
]


@pytest.mark.parametrize(("case", "asked", "site", "cpus", "mb"), SIZES, ids=[c[0] for c in SIZES])
def test_sizes_come_from(
    case: str, asked: Resources | None, site: dict[str, Any], cpus: float | None, mb: int | None
) -> None:
    account = page(resources=asked, peak_memory_bytes=300.4 * MB)
    (only,) = records(account, Site("S", **site))
    assert (only.cpu_count, only.memory_mb) == (cpus, mb), case


@pytest.mark.parametrize(
    ("size", "gb"), [(0.0, 0), (1.0, 1), (GB, 1), (GB + 1.0, 2), (10.5 * GB, 11), (None, None)]
)
def test_disks_are_rounded_up(size: float | None, gb: int | None) -> None:
    (only,) = records(page(disk_bytes=size))
    assert only.disk_gb == gb


@given(st.lists(st.floats(0, 1e15), min_size=2, max_size=20).map(sorted))
def test_gigabytes_of_a_growing_counter_never_fall_or_exceed_it(counts: list[float]) -> None:
    found = []
    for count in counts:
        account = page()
        account.readings = {NOVEMBER: Reading(T + 3700, count, count, count)}
        (only,) = records(account)
        assert only.received_gb == only.sent_gb
        assert (only.received_gb or 0) * GB <= count
        found.append(only.received_gb or 0)
    assert found == sorted(found)


def lived(first: int, last: int, *readings: tuple[Month, int], ended: bool = True) -> Account:
    account = page(
        first_running_at=first + 8.5,
        started_at=float(first),
        last_running_at=float(last),
        last_listed_at=float(last),
        ended=ended,
    )
    account.readings = {month: Reading(month.end, float(cpu)) for month, cpu in readings}
    return account


def figures(account: Account) -> list[tuple[str, str, int, int | None, int, int | None]]:
    return [
        (str(r.month), r.status, r.created_at, r.end_at, r.wall_seconds, r.cpu_seconds)
        for r in records(account)
    ]


DECEMBER, JANUARY = Month(2025, 12), Month(2026, 1)


def test_a_month_that_ends_is_measured_at_its_last_second() -> None:
    start, end = NOVEMBER.end - 100, NOVEMBER.end + 50
    assert figures(lived(start, end, (NOVEMBER, 60), (DECEMBER, 90))) == [
        ("2025-11", "started", NOVEMBER.end - 1, None, 99, 60),
        ("2025-12", "completed", end, end, 150, 90),
    ]


def test_a_pod_may_live_across_years() -> None:
    start, end = DECEMBER.start - 10, JANUARY.start + 20
    account = lived(start, end, (NOVEMBER, 5), (DECEMBER, 70), (JANUARY, 80), ended=False)
    assert figures(account) == [
        ("2025-11", "started", DECEMBER.start - 1, None, 9, 5),
        ("2025-12", "started", JANUARY.start - 1, None, JANUARY.start - 1 - start, 70),
        ("2026-01", "started", end, None, end - start, 80),
    ]


def test_a_month_without_a_reading_repeats_the_one_before() -> None:
    start, end = DECEMBER.start - 10, JANUARY.start + 20
    found = figures(lived(start, end, (NOVEMBER, 5)))
    assert [cpu for *_, cpu in found] == [5, 5, 5]


def test_a_counter_that_was_read_after_the_end_counts_for_the_last_month() -> None:
    start, end = NOVEMBER.end - 100, NOVEMBER.end - 5
    assert figures(lived(start, end, (NOVEMBER, 60), (DECEMBER, 62))) == [
        ("2025-11", "completed", end, end, 95, 62)
    ]


def test_wall_time_is_never_negative() -> None:
    """A start after the samples that show it running is by another clock: the first one counts."""
    account = lived(T + 5000, T + 4000)
    account.pod.first_running_at = T + 3990.0
    assert [r.wall_seconds for r in records(account)] == [10]
    account.pod.first_running_at = T + 4000.9
    assert [r.wall_seconds for r in records(account)] == [0]


@given(st.integers(T, T + 40 * 86400), st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
def test_records_of_a_pod_that_goes_on_never_fall(start: int, steps: list[int]) -> None:
    said: dict[Month, int] = {}
    last = start
    for step in steps:
        last += step
        for one in records(lived(start, last, ended=False)):
            assert one.wall_seconds >= said.get(one.month, 0)
            said[one.month] = one.wall_seconds
    assert list(said.values()) == sorted(said.values())


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("1", {"uid": ""}, "VMUUID: missing"),
    ("2", {"site": ""}, "SiteName: missing"),
    ("3", {"image": "a\nb"}, "ImageId: contains a line break"),
    ("4", {"image": "a\n"}, "ImageId: contains a line break"),
    ("5", {"image": "a\rb"}, "ImageId: contains a line break"),
    ("6", {"image": "a\u2028b"}, "ImageId: contains a line break"),
    ("7", {"image": "a\x0bb"}, "ImageId: contains a line break"),
    ("8", {"image": "a%%b"}, "ImageId: contains %%"),
    ("9", {"image": "a\x00b"}, "ImageId: contains a control character"),
    ("10", {"image": "a\tb"}, "ImageId: contains a control character"),
    ("11", {"group": "g" * 256}, "LocalGroupId: longer than 255 characters"),
    ("12", {"image": "i" * 256}, "ImageId: longer than 255 characters"),
    ("13", {"machine": "%%"}, "MachineName: contains %%"),
    ("14", {"vo": Vo("v", "/v%%", "map", "")}, "FQAN: contains %%"),
    ("15", {"cpu_count": -1.0}, "CpuCount: negative"),
    ("16", {"wall_seconds": -1}, "WallDuration: negative"),
    ("17", {"cpu_seconds": -5}, "CpuDuration: negative"),
    ("18", {"received_gb": -1}, "NetworkInbound: negative"),
    ("19", {"sent_gb": -1}, "NetworkOutbound: negative"),
    ("20", {"memory_mb": -1}, "Memory: negative"),
    ("21", {"disk_gb": -1}, "Disk: negative"),
    ("22", {"benchmark": -1.0}, "Benchmark: negative"),
    ("23", {"benchmark_type": "b" * 51}, "BenchmarkType: longer than 50 characters"),
    ("24", {"end_at": None}, "EndTime: missing for a completed record"),
    ("25", {"end_at": 0}, "EndTime: missing for a completed record"),
    ("26", {"cloud_type": "c" * 256}, "CloudType: longer than 255 characters"),
    ("27", {"compute_service": "a\nb"}, "CloudComputeService: contains a line break"),
    ("28", {"start_at": -1}, "StartTime: negative"),
]
ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("1", {}),
    ("2", {"user": "u" * 255}),
    ("3", {"user": "Žofia Ünïcode 用户"}),
    ("4", {"user": "50% of all"}),
    ("5", {"user": "a\u00a0b"}),
    ("6", {"benchmark_type": "b" * 50}),
    ("7", {"end_at": None, "status": Status.STARTED}),
    ("8", {"cpu_seconds": None, "cpu_count": None, "memory_mb": None}),
    ("9", {"user": "", "group": "", "image": ""}),
]


@pytest.mark.parametrize(("case", "changes", "reason"), REFUSED, ids=[c[0] for c in REFUSED])
def test_what_the_repository_would_refuse_is_refused_with_field_and_reason(
    case: str, changes: dict[str, Any], reason: str
) -> None:
    assert validation.refusal(record(**changes)) == reason, case


@pytest.mark.parametrize(("case", "changes"), ACCEPTED, ids=[c[0] for c in ACCEPTED])
def test_what_the_repository_takes_is_not_refused(case: str, changes: dict[str, Any]) -> None:
    assert validation.refusal(record(**changes)) == "", case


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("a\nb", "a%0Ab"),
        ("50%%off\x00", "50%25%25off%00"),
        ("a\u2028b\x85", "a%E2%80%A8b%C2%85"),
        ("50% of all", "50% of all"),
        ("a%0Ab\t", "a%250Ab%09"),
    ],
)
def test_a_user_name_that_no_record_carries_is_escaped_and_can_be_read_back(
    user: str, written: str
) -> None:
    shown = record(user=user)
    assert validation.refusal(shown) == ""
    assert apel.fields(shown)["GlobalUserName"] == written
    if written != user:
        assert unquote(written) == user


@pytest.mark.parametrize("user", ["Gündüz 5%", "user@example.org", "李\n%%"])
def test_a_user_name_goes_into_a_spool_in_ascii_and_can_be_read_back(user: str) -> None:
    named = page(owner=Owner(user, ENTITLEMENT, ""))
    (shown,) = records(named, rules=VoRules(ascii_users=True))
    written = apel.text(shown)
    assert written.isascii()
    assert shown.held is Held.NO
    assert shown.user == user
    said = str(apel.fields(shown)["GlobalUserName"])
    assert (unquote(said) if said != user else said) == user
    assert ("user name escaped to ASCII" in shown.flags) is (said != user)
    assert apel.text_digest(written) == shown.digest


HELD: list[tuple[str, dict[str, Any], Held, str]] = [
    ("1: it goes out", {}, Held.NO, ""),
    ("2: owner unknown", {"owner_known": False, "owner": Owner()}, Held.OWNER_UNKNOWN, ""),
    ("3: unmapped", {"owner": Owner("a", "no such group", "")}, Held.UNMAPPED, ""),
    (
        "4: invalid",
        {"image": "a\nb"},
        Held.INVALID,
        "ImageId: contains a line break",
    ),
]


@pytest.mark.parametrize(("case", "changes", "held", "problem"), HELD, ids=[c[0] for c in HELD])
def test_a_record_is_held_back_with_its_reason(
    case: str, changes: dict[str, Any], held: Held, problem: str
) -> None:
    (only,) = records(page(**changes))
    assert (only.held, only.problem) == (held, problem), case


def test_the_rule_that_chose_the_vo_is_kept() -> None:
    (only,) = records(page(), rules=VoRules(overrides={".*": "/ops/x"}))
    assert only.vo == Vo("ops", "/ops/x", "map", ".*")


def test_a_withheld_user_is_not_in_the_machine_s_name_either() -> None:
    rules = VoRules(privacy={".*": Privacy.WITHHOLD})
    (only,) = records(page(), rules=rules)
    assert (only.user, only.machine) == ("", "")
    assert "a@example.org" not in apel.text(only)


CHANGES: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"wall_seconds": 1}, True),
    ({"image": "other"}, True),
    ({"flags": ("new",)}, False),
    ({"gpu_count": 8.0}, False),
    ({"held": Held.UNMAPPED}, False),
]


@pytest.mark.parametrize(("changes", "differs"), CHANGES)
def test_the_digest_tells_what_goes_out(changes: dict[str, Any], differs: bool) -> None:
    assert (apel.digest(record(**changes)) != record().digest) is differs


def test_the_months_totals_are_what_was_used_within_them() -> None:
    account = lived(NOVEMBER.end - 100, NOVEMBER.end + 50, (NOVEMBER, 60), (DECEMBER, 90))
    assert totals(
        [*records(account), record(uid="other", cpu_seconds=None, used_cpu_seconds=None)]
    ) == {
        (NOVEMBER, "vo.example.org"): (2, 99 + 3598, 60),
        (DECEMBER, "vo.example.org"): (1, 51, 30),
    }


MONTHS: list[tuple[Callable[[], object], object]] = [
    (lambda: Month.of(DECEMBER.end - 1), DECEMBER),
    (lambda: Month.of(DECEMBER.end), JANUARY),
    (lambda: DECEMBER.next, JANUARY),
    (lambda: DECEMBER.last_second, JANUARY.start - 1),
    (lambda: str(JANUARY), "2026-01"),
    (lambda: Month.parse("2026-01"), JANUARY),
    (lambda: list(NOVEMBER.until(JANUARY)), [NOVEMBER, DECEMBER, JANUARY]),
    (lambda: Month(2024, 2).end - Month(2024, 2).start, 29 * 86400),
]


@pytest.mark.parametrize(("ask", "answer"), MONTHS)
def test_months_are_utc_calendar_months(ask: Callable[[], object], answer: object) -> None:
    assert ask() == answer
