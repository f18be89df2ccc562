"""Summaries over TCP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounting.model.time import Month
from accounting.records import builder
from accounting.store.records import Records
from tests.api.many import COUNT, WHOSE, Fits, listed, notebook
from tests.api.serving import Running, Serve
from tests.delivery.books import NOVEMBER, RULES, SITE, ran_on, write


def summed(running: Running, query: str) -> list[dict[str, Any]]:
    answer = running.get(f"/api/v1/summaries?{query}")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def test_summaries_are_the_ledger_s_numbers(running: Running) -> None:
    totals = Records(running.service.database).month_totals()
    rows = summed(running, "by=month&by=vo")
    names = ("pods", "wall_seconds", "cpu_seconds")
    found = {(row["month"], row["vo"]): tuple(row[name] for name in names) for row in rows}
    assert found == {(str(month), vo): sums for (month, vo), sums in totals.items()}


@pytest.mark.parametrize(("query", "fits"), WHOSE, ids=[query for query, _ in WHOSE])
def test_sums_are_of_the_records_that_fit(query: str, fits: Fits, running: Running) -> None:
    wanted = [r for r in listed(running, "month=2026-11", 1000) if fits(r)]
    rows = summed(running, f"by=user&month=2026-11&{query}")
    seconds = sum(r["used_wall_seconds"] for r in wanted)
    assert sum(row["wall_seconds"] for row in rows) == seconds


@pytest.mark.parametrize("by", ["month", "day", "vo", "user", "flavor", "image"])
def test_every_way_of_adding_up_gives_the_same_total(by: str, running: Running) -> None:
    (total,) = summed(running, "by=month&month=2026-11")
    rows = summed(running, f"by={by}&month=2026-11")
    for name in ("wall_seconds", "cpu_seconds", "core_seconds", "memory_mb_seconds"):
        assert sum(row[name] for row in rows) == pytest.approx(total[name])
    assert [row[by] for row in rows] == sorted(row[by] for row in rows)


def test_days_hold_exactly_the_wall_time_that_lies_in_them(running: Running) -> None:
    expected: dict[str, int] = {}
    for number in range(COUNT):
        for record in builder.records(notebook(number), SITE, RULES):
            begun = record.created_at - record.used_wall_seconds
            first = max(begun, record.month.start)
            day = datetime.fromtimestamp(first, UTC).replace(hour=0, minute=0, second=0)
            while (start := int(day.timestamp())) < record.created_at:
                end = start + 86400
                used = (
                    min(end, record.created_at)
                    - max(start, first)
                    + (first - begun) * (start <= first)
                )
                name = day.date().isoformat()
                expected[name] = expected.get(name, 0) + used
                day += timedelta(days=1)
    rows = summed(running, "by=day")
    assert {str(row["day"]): row["wall_seconds"] for row in rows} == expected
    assert len(expected) > 25


def test_an_answer_that_is_kept_is_asked_for_again_at_no_cost(changing: Running) -> None:
    path = "/api/v1/summaries?month=2026-11&by=vo"
    first = changing.get(path)
    tag = first.headers["ETag"]
    known = changing.get(path, headers={"If-None-Match": f'W/"x", {tag}'})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["ETag"] == tag
    write(changing.service.database, [ran_on(notebook(2), 600)])
    changed = changing.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    assert changed.json() != first.json()
    as_csv = changing.get(f"{path}&format=csv", headers={"If-None-Match": changed.headers["ETag"]})
    assert as_csv.status_code == 200
    assert as_csv.text.startswith("vo,pods,users,wall_seconds,")


def test_an_answer_is_written_once_until_records_change(
    changing: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"/api/v1/summaries?by=vo&format={kind}" for kind in ("json", "csv")]
    first = [changing.get(path) for path in paths]
    asked: list[Any] = []
    add_up = changing.service.summaries.summary

    def counted(*of: Any) -> Any:
        asked.append(of)
        return add_up(*of)

    monkeypatch.setattr(changing.service.summaries, "summary", counted)
    for path, answer in zip(paths, first, strict=True):
        again = changing.get(path)
        assert again.content == answer.content
        for name in ("Content-Type", "Content-Disposition", "ETag", "Vary"):
            assert again.headers.get(name) == answer.headers.get(name)
    assert asked == []
    write(changing.service.database, [ran_on(notebook(2), 600)])
    assert [changing.get(path).content for path in paths] != [one.content for one in first]
    assert len(asked) == len(paths)


def test_an_empty_ledger_s_answer_is_to_what_was_asked(serve: Serve) -> None:
    empty = serve()
    for by in ("vo", "user", "day"):
        assert empty.get(f"/api/v1/summaries?by={by}").json()["by"] == [by]
        assert empty.get(f"/api/v1/summaries?by={by}&format=csv").text.startswith(f"{by},pods,")


def test_what_is_kept_is_never_somebody_else_s(running: Running) -> None:
    assert Month(2026, 11) == NOVEMBER
    mine = running.get("/api/v1/summaries")
    assert mine.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in mine.headers["Vary"]
