"""Hours by flavour, user, VO and UTC day: cut at midnights, whatever records and polls do."""

from accounting.model.time import Month
from accounting.records.daily import (
    Figure,
    Metric,
    Metrics,
    Share,
    Spell,
    by_figure,
    seconds_by_day,
    unmapped,
)

NOVEMBER = Month(2026, 11)
DAY = 86400
FIRST = NOVEMBER.start // DAY
SMALL, LARGE = Metric("site", "small-id"), Metric("site", "large-id")


def spell(begun_at: int, until: int, flavor: str = "small", user: str = "u1") -> Spell:
    """Seconds after the month's begin."""
    start = NOVEMBER.start
    return Spell(flavor, user, "vo.example.org", start + begun_at, start + until)


def days(*spells: Spell) -> dict[int, int]:
    """Day of the month → seconds."""
    found = seconds_by_day(spells, NOVEMBER)
    return {share.day - FIRST + 1: seconds for share, seconds in found.items()}


def test_time_is_cut_at_midnight_and_no_second_is_lost_or_doubled() -> None:
    assert days(spell(DAY - 10, DAY + 25)) == {1: 10, 2: 25}
    assert days(spell(0, DAY)) == {1: DAY}
    assert days(spell(100, 3 * DAY + 1)) == {1: DAY - 100, 2: DAY, 3: DAY, 4: 1}
    assert days(spell(DAY, DAY)) == {}


def test_what_lies_in_another_month_is_that_month_s() -> None:
    length = NOVEMBER.end - NOVEMBER.start
    assert days(spell(-20, 30)) == {1: 30}
    assert days(spell(length - 1, length + 500)) == {30: 1}
    assert days(spell(-500, -20), spell(length, length + 1)) == {}


def test_two_notebooks_of_a_user_add_up_and_flavours_stay_apart() -> None:
    found = seconds_by_day([spell(0, 60), spell(30, 100), spell(0, 7, "large")], NOVEMBER)
    vo = "vo.example.org"
    assert found == {
        Share("small", "u1", vo, FIRST): 130,
        Share("large", "u1", vo, FIRST): 7,
    }


def test_flavours_of_one_metric_are_one_figure_and_what_no_rule_knows_is_told() -> None:
    metrics = Metrics({"small": SMALL, "s*": LARGE, "huge": LARGE, "free": None})
    names = ("small", "special", "huge", "free", "odd", "")
    shares = {Share(name, "u1", "vo", FIRST): 10 for name in names}
    assert by_figure(shares.items(), metrics) == {
        Figure(SMALL, "u1", "vo", FIRST): 10,
        Figure(LARGE, "u1", "vo", FIRST): 20,
    }
    assert [share.flavor for share in unmapped(shares.items(), metrics)] == ["odd", ""]
    assert metrics.knows("free")
    assert metrics.of("free") is None


def test_an_exact_name_wins_over_a_pattern_that_stands_before_it() -> None:
    metrics = Metrics({"*": LARGE, "small": SMALL})
    assert metrics.of("small") == SMALL
    assert metrics.of("") == LARGE
