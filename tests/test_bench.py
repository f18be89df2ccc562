import json
from pathlib import Path
from typing import Any

import pytest

import bench.__main__
import bench.api
import bench.outlets
import bench.pages
import bench.refreshes
from bench.__main__ import SECTIONS, main
from tests.hub.rig import PYTHONS


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured for some time, of many pages, windows and hubs ends soon."""
    monkeypatch.setattr(bench.__main__, "BROKER_SECONDS", 0.3)
    monkeypatch.setattr(bench.__main__, "LOAD_SECONDS", 0.3)
    monkeypatch.setattr(bench.api, "POLLS", 2)
    monkeypatch.setattr(bench.api, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(bench.outlets, "WINDOWS_A_ROUND", 2)
    some = bench.pages.paths()[::4]
    monkeypatch.setattr(bench.pages, "paths", lambda: some)
    monkeypatch.setattr(bench.refreshes, "PYTHONS", [*PYTHONS][:1])


@pytest.mark.usefixtures("short")
def test_a_short_benchmark_measures_every_promise(tmp_path: Path) -> None:
    folders = ["--data", str(tmp_path / "data"), "--results", str(tmp_path / "results")]

    sizes = ["--pods", "60", "--backlog", "600", "--records", "600", "--users", "6"]
    sizes += ["--shown", "600"]
    main([*sizes, "--rounds", "1", *folders])

    kept = json.loads((tmp_path / "results" / "latest.json").read_text())
    assert len(kept["figures"]) == len(SECTIONS)
    figures = [figure for section in kept["figures"].values() for figure in section]
    assert [
        figure for figure in figures if figure["value"] <= 0 and not _rounds_to_none(figure)
    ] == []
    promised = {figure["name"] for figure in figures if figure["is_met"] is not None}
    assert promised >= {
        "whole command",
        "… its peak memory",
        "… poll / curl, one after another",
        "in the service",
        "signed, RSA 2048",
        "SQLite: a page of the list, p99",
        "PostgreSQL: a month's summary, p99",
        "PostgreSQL: first sums after a poll, at once, slowest",
    }


def test_a_benchmark_can_be_told_what_to_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "everything", "--results", str(tmp_path)])

    assert stopped.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def _rounds_to_none(figure: dict[str, Any]) -> bool:
    """Is it counted in steps that so little work may not fill: pages of memory, a clock's ticks?"""
    return "memory added" in figure["name"] or "processor time" in figure["name"]
