"""What the portal shows, held against what was delivered: the figures, and the likely cause."""

import json
from dataclasses import replace

import pytest

from accounting.errors import PortalError
from accounting.model.reconciliation import Answer, Cause, Line, Shown, Told, Unit, Used
from accounting.model.time import Month
from accounting.records.formats import portal
from accounting.records.reconciliation import Terms, compared, key_of

NOVEMBER = Month(2026, 11)
SITE, VO, SERVICE = "EXAMPLE-SITE", "vo.example.org", "notebooks.example.org"
MADE = 1_000_000.0
TERMS = Terms(0.01, MADE)
HEAD = ["time", "infrastructure", "site", "vo", "number_of_jobs", "raw_wc_time", "raw_cpu_time"]


def shown(wall: float, cpu: float = 0.0, *, vo: str = VO, service: str = SERVICE) -> Shown:
    """A row, in hours."""
    return Shown(NOVEMBER, SITE, vo, service, 1, wall, cpu)


def told(*hours: float, late: float = 0.0) -> Told:
    """What messages 1, 2 … said, in hours of wall time; and one that the portal cannot know yet."""
    made = Told(SITE, VO, services={SERVICE})
    for number, one in enumerate([*hours, *([late] if late else [])], 1):
        made.by_message[number] = Used(1, one * 3600, one * 360)
        made.at[number] = MADE + (60 if number > len(hours) else -60)
    return made


def line(
    rows: list[Shown], of: Told | None, terms: Terms = TERMS, *, is_partial: bool = False
) -> Line:
    known = {key_of(SITE, VO): of} if of else {}
    (found,) = compared(Answer(rows, is_partial), known, terms)[1]
    return found


def reason(found: Line) -> tuple[Cause, tuple[int, ...]]:
    return found.cause, found.messages


def test_rows_of_one_vo_are_added_up_and_agree_whatever_the_case_of_its_name() -> None:
    found = line([shown(60, 6), shown(40.5, 4.05, vo="VO.Example.org")], told(70, 30.5))
    assert (found.cause, found.vo) == (Cause.NONE, VO)
    assert found.shown.wall_seconds == found.delivered.wall_seconds == 100.5 * 3600


@pytest.mark.parametrize("unit", list(Unit))
def test_the_unit_is_the_one_that_fits(unit: Unit) -> None:
    factor = 3600 / unit.seconds
    answer = Answer([shown(1000 * factor, 100 * factor)])
    found, lines = compared(answer, {key_of(SITE, VO): told(1000)}, TERMS)
    assert (found, lines[0].cause) == (unit, Cause.NONE)


@pytest.mark.parametrize("unit", list(Unit))
def test_a_portal_that_lacks_most_of_a_month_is_not_taken_to_count_in_larger_units(
    unit: Unit,
) -> None:
    factor = 3600 / unit.seconds
    rows = [shown(150 * factor, 15 * factor)]
    found = line(rows, told(150, 850), replace(TERMS, unit=None))
    assert reason(found) == (Cause.REFUSED, (2,))


def test_lines_that_agree_tell_the_unit_whatever_the_others_lack() -> None:
    """Of the large VO nearly everything is missing: all together seem to be counted in days."""
    small = Told(SITE, "small.example.org", {1: Used(1, 36_000, 3_600)}, {1: MADE - 60}, {SERVICE})
    known = {key_of(SITE, VO): told(5, 995), key_of(SITE, small.vo): small}
    answer = Answer([shown(5, 0.5), shown(10, 1, vo=small.vo)])
    found, lines = compared(answer, known, TERMS)
    assert (found, [one.cause for one in lines]) == (Unit.HOURS, [Cause.NONE, Cause.REFUSED])


def test_a_unit_that_was_fixed_and_is_another_is_the_cause() -> None:
    found = line([shown(1000, 100)], told(1000), replace(TERMS, unit=Unit.SECONDS))
    assert found.cause is Cause.UNITS
    assert "hours, not seconds" in found.detail


def test_what_was_delivered_after_the_portal_was_made_is_late() -> None:
    assert reason(line([shown(100, 10)], told(100, late=50))) == (Cause.LATE, (2,))
    assert reason(line([shown(130, 13)], told(100, late=50))) == (Cause.LATE, (2,))


def test_what_is_missing_is_the_message_that_said_it() -> None:
    assert reason(line([shown(150, 15)], told(100, 30, 50))) == (Cause.REFUSED, (2,))
    assert reason(line([shown(150, 15)], told(100, 30, 50, late=7))) == (Cause.REFUSED, (2,))
    assert reason(line([shown(111, 11)], told(100, 30, 50))) == (Cause.REFUSED, ())
    assert reason(line([], told(100, 30))) == (Cause.REFUSED, (1, 2))


def test_cpu_time_alone_may_differ() -> None:
    assert reason(line([shown(100, 2)], told(100))) == (Cause.REFUSED, ())
    assert line([shown(100, 20)], told(100)).cause is Cause.ANOTHER_SENDER


def test_more_than_was_delivered_is_of_another_sender() -> None:
    found = line([shown(100, 10), shown(80, 8, service="other.example.org")], told(100))
    assert found.cause is Cause.ANOTHER_SENDER
    assert "other.example.org" in found.detail
    assert line([shown(180, 18)], told(100)).cause is Cause.ANOTHER_SENDER
    assert line([shown(5, 1)], None).cause is Cause.ANOTHER_SENDER


def test_a_correction_downwards_may_be_late() -> None:
    corrected = told(100)
    corrected.at[1] = MADE + 60
    assert reason(line([shown(120, 12)], corrected)) == (Cause.LATE, (1,))


def test_an_answer_that_is_not_whole_explains_what_is_missing_and_nothing_else() -> None:
    assert line([shown(50, 5)], told(100), is_partial=True).cause is Cause.PARTIAL
    assert line([shown(150, 15)], told(100), is_partial=True).cause is Cause.ANOTHER_SENDER


def test_what_was_forgotten_here_explains_what_is_shown_beyond_the_rest() -> None:
    terms = replace(TERMS, forgotten=2)
    assert line([shown(150, 15)], told(100), terms).cause is Cause.FORGOTTEN
    assert line([shown(50, 5)], told(100), terms).cause is Cause.REFUSED


def test_rounding_and_small_parts_are_no_difference() -> None:
    assert line([shown(1, 0)], told(0.6)).cause is Cause.NONE  # whole hours
    assert line([shown(1000.5, 100)], told(1009)).cause is Cause.NONE
    assert line([shown(1000.5, 100)], told(1020)).cause is Cause.REFUSED


def as_json(*rows: list[object], head: list[str] = HEAD, **more: object) -> bytes:
    series = [{"columns": head, "values": [row], **more} for row in rows]
    return json.dumps({"results": [{"series": series}]}).encode()


def test_series_are_joined_and_only_clouds_are_read() -> None:
    cloud: list[object] = ["2026-11-01T00:00:00Z", "Cloud", SITE, VO, 2, 3.5, "1.25"]
    grid: list[object] = ["2026-11-01T00:00:00Z", "Grid", SITE, VO, 9, 9, 9]
    stamped: list[object] = [NOVEMBER.start * 1000, "cloud", SITE, VO, None, 1, None]
    answer = portal.read(as_json(cloud, grid, stamped))
    assert answer.rows == [
        Shown(NOVEMBER, SITE, VO, "", 2, 3.5, 1.25),
        Shown(NOVEMBER, SITE, VO, "", 0, 1, 0),
    ]
    assert not answer.is_partial
    assert portal.read(as_json(cloud, partial=True)).is_partial


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column time"),
        (b"<html>login</html>", "no column time"),
        (b'{"results": [{"series": [{"col', "broken or cut off"),
        (b'{"error": "x"}', "no results"),
        (b'{"results": [{"series": [3]}]}', "no results"),
        (b'{"results": [{"series": [{"columns": 3}]}]}', "no results"),
        (b"\xff\xfe", "UTF-8"),
        (as_json([1], head=["time"]), "no column infrastructure, site"),
        (as_json(["2026-11-01", "Cloud"]), "does not have the 7 values"),
        (as_json(["soon", "Cloud", SITE, VO, 1, 1, 1]), "row 1 has a time"),
        (as_json(["2026-11-01", "Cloud", SITE, VO, 1, "NaN", 1]), "row 1 has a time or figure"),
        (as_json([None, "Cloud", SITE, VO, 1, 1, 1]), "row 1 has a time"),
        (as_json([1e300, "Cloud", SITE, VO, 1, 1, 1]), "row 1 has a time"),
    ],
)
def test_what_is_not_the_portals_data_is_said(content: bytes, said: str) -> None:
    with pytest.raises(PortalError, match=said):
        portal.read(content)
