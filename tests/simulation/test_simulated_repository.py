from datetime import UTC, datetime

import pytest

from accounting.simulation.judges.repository import MessageRejectedError, Repository, Summary

OCTOBER, NOVEMBER = (2026, 10), (2026, 11)


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]


LAST_SECOND = at(2026, 10, 31, 23, 59, 59)
BASE: dict[str, object] = {
    "RecordCreateTime": LAST_SECOND,
    "VMUUID": "pod-1",
    "SiteName": "EXAMPLE-SITE",
    "FQAN": "/vo.example.org/Role=member",
    "Status": "started",
    "StartTime": at(2026, 10, 31, 20),
    "WallDuration": 14_399,
    "CpuDuration": 1_000,
    "CpuCount": "2.000",
}


def record(without: tuple[str, ...] = (), **changes: object) -> str:
    fields = {key: value for key, value in (BASE | changes).items() if key not in without}
    return "".join(f"{key}: {value}\n" for key, value in fields.items()) + "%%\n"


def message(*records: str) -> str:
    return "APEL-cloud-message: v0.4\n" + "".join(records)


def loaded(*messages: str) -> Repository:
    repository = Repository()
    repository.load_all(messages)
    return repository


def test_the_last_arrival_wins_even_when_it_is_older() -> None:
    newer = message(record(Status="completed", EndTime=LAST_SECOND, WallDuration=14_000))
    older = message(record(WallDuration=60))
    repository = loaded(newer, older)
    (row,) = repository.rows.values()
    assert row.integer("WallDuration") == 60
    assert row.text("Status") == "started"


def test_the_last_arrival_wins_within_one_message_too() -> None:
    repository = loaded(message(record(WallDuration=60), record(WallDuration=30)))
    assert [row.integer("WallDuration") for row in repository.rows.values()] == [30]


def test_identical_messages_change_nothing() -> None:
    once, twice = loaded(message(record())), loaded(*[message(record())] * 2)
    assert once.rows == twice.rows
    assert twice.accepted == 2


@pytest.mark.parametrize(
    ("text", "month"),
    [
        (record(), OCTOBER),
        (record(RecordCreateTime=LAST_SECOND + 1), NOVEMBER),
        (record(Status="completed", EndTime=at(2026, 11, 1), RecordCreateTime=1), NOVEMBER),
        (record(without=("RecordCreateTime",)), OCTOBER),
        (record(without=("RecordCreateTime",), SuspendDuration=1), NOVEMBER),
        (record(Status="completed", EndTime=0), (1970, 1)),
    ],
)
def test_a_record_belongs_to_the_month_that_its_status_decides(
    text: str, month: tuple[int, int]
) -> None:
    assert list(loaded(message(text)).rows) == [("pod-1", month)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (record(Unknown="x"), "unknown key"),
        (record(WallDuration="1.5"), "WallDuration is not an integer"),
        (record(StartTime="yesterday"), "StartTime is not an integer"),
        (record(CpuCount="-1"), "CpuCount is not a number from 0 up"),
        (record(CpuCount="many"), "CpuCount is not a number"),
        (record(ImageId="i" * 256), "ImageId has 256 characters, more than 255"),
        (record(BenchmarkType="b" * 51), "BenchmarkType has 51 characters, more than 50"),
        (record(LocalUserId="a%%b"), "a line without a key"),
        (record(LocalUserId="a\nb"), "a line without a key"),
        (record(LocalUserId="a\n\nFQAN: b"), "a line without a key"),
        (record(without=("VMUUID",)), "VMUUID is missing"),
        (record(SiteName=""), "SiteName is missing"),
        (record(SiteName="None"), "SiteName is missing"),
        (record(Status="completed"), "no EndTime"),
        (record(without=("RecordCreateTime", "StartTime")), "neither"),
        (record(RecordCreateTime=10**15), "no calendar"),
    ],
)
def test_one_bad_record_rejects_the_whole_message(text: str, reason: str) -> None:
    repository = Repository()
    with pytest.raises(MessageRejectedError, match=reason):
        repository.load(message(record(VMUUID="pod-2"), text))
    assert not repository.rows
    assert repository.accepted == 0


@pytest.mark.parametrize("body", ["", "APEL-cloud-message: v0.2\n" + record(), message()])
def test_a_body_that_is_no_message_is_refused(body: str) -> None:
    with pytest.raises(MessageRejectedError):
        Repository().load(body)


def test_bytes_are_read_as_utf_8() -> None:
    repository = Repository()
    repository.load(message(record(GlobalUserName="ñandú")).encode())
    assert next(iter(repository.rows.values())).text("GlobalUserName") == "ñandú"
    with pytest.raises(MessageRejectedError, match="UTF-8"):
        repository.load(b"\xff")


def test_a_missing_owner_becomes_the_text_none() -> None:
    (row,) = loaded(message(record(without=("FQAN", "Status")))).rows.values()
    assert (row.vo, row.text("Status"), row.text("GlobalUserName")) == ("None",) * 3


@pytest.mark.parametrize(
    ("fqan", "vo"),
    [
        ("/vo.example.org/sub/Role=member", "vo.example.org"),
        ("/first.example.org;/second.example.org", "first.example.org"),
        ("vo.example.org", "vo.example.org"),
        ("urn:mace:egi.eu:group:a", "urn:mace:egi.eu:group:a"),
    ],
)
def test_the_vo_is_the_first_part_of_the_first_fqan(fqan: str, vo: str) -> None:
    (row,) = loaded(message(record(FQAN=fqan))).rows.values()
    assert row.vo == vo


def test_a_summary_subtracts_the_month_before() -> None:
    closing = record(NetworkInbound=3)
    ended = record(
        Status="completed",
        EndTime=at(2026, 11, 1, 1),
        WallDuration=18_000,
        CpuDuration=1_500,
        NetworkInbound=5,
        NetworkOutbound=1,
    )
    assert loaded(message(closing, ended)).summaries() == [
        Summary(OCTOBER, "vo.example.org", 1, 14_399, 1_000, 3, 0),
        Summary(NOVEMBER, "vo.example.org", 1, 3_601, 500, 2, 1),
    ]


def test_a_year_s_end_is_a_month_s_end() -> None:
    closing = record(RecordCreateTime=at(2026, 12, 31, 23, 59, 59))
    after = record(RecordCreateTime=at(2027, 1, 1, 5), WallDuration=14_500)
    rows = loaded(message(closing, after)).summaries()
    assert [(row.month, row.wall_seconds) for row in rows] == [
        ((2026, 12), 14_399),
        ((2027, 1), 101),
    ]


def test_a_value_that_fell_is_negative_usage() -> None:
    fallen = record(RecordCreateTime=LAST_SECOND + 60, WallDuration=100)
    rows = loaded(message(record(), fallen)).summaries()
    assert rows[1].wall_seconds == 100 - 14_399


def test_vos_merge_whatever_their_case() -> None:
    repository = loaded(message(record(), record(VMUUID="pod-2", FQAN="/VO.example.org")))
    (row,) = repository.summaries()
    assert (row.vo, row.pods, row.wall_seconds) == ("vo.example.org", 2, 2 * 14_399)
