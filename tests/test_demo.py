"""The demo on a shorter history: everything in it is real, only less of it."""

import re
import subprocess
import threading
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from accounting.demo import portal, stage
from accounting.demo.run import run
from accounting.errors import AccountingError
from accounting.model.time import Month
from accounting.server import Serving
from tests.simulation.test_simulated_repository import at, message, record


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "HISTORY", timedelta(days=2))
    monkeypatch.setattr(stage, "PODS", 60)
    monkeypatch.setattr(stage, "LIVE_SECONDS", 2.0)


@pytest.mark.usefixtures("short")
def test_the_demo_shows_that_every_number_arrived_and_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    shown = StringIO()
    folder = tmp_path / "demo"
    console = Console(file=shown, width=80, force_terminal=False)
    assert run(folder, stay=False, console=console) == 0
    said = shown.getvalue()
    whole_vo = r"[a-z]+\.example\.org +\d{4}-\d\d +(?:completed|started) +[\d,]+\.\d\d "
    assert re.search(whole_vo, said.partition("Flagged")[0])
    assert re.search(r"[\d,]+ records in \d+ messages", said)
    assert re.search(r"\d+ messages verified by openssl and loaded", said)
    assert "Really used, recorded, held by the receiver" in said
    assert re.search(r"file system", said)
    assert re.search(r"\d+ storage records \(StAR\)", said)
    assert re.search(r"\d{4}-\d\d-\d\d at EOSC, hours", said)
    assert re.search(r"[\d,]+ metrics of \d days, each made once", said)
    assert re.search(r"[1-9]\d* accelerator records \(JSON\)", said)
    assert re.search(r"\d{4}-\d\d-\d\d at GreenDIGIT's CIM, Wh", said)
    assert re.search(r"[\d,]+ records of notebooks' days, each submitted once", said)
    assert re.search(r"\d+ VOs compared, 0 differ", said)
    assert re.search(r"refused: message \d+", said)
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    assert {path.name for path in folder.iterdir()} >= {
        "accounting.db",
        "ams.jsonl",
        "certificates",
        "prometheus",
        "received",
    }
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(folder) not in listing.stdout


@pytest.mark.usefixtures("short")
def test_the_demo_touches_no_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(AccountingError, match="not of this demo"):
        run(tmp_path, stay=False, console=Console(file=StringIO()))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.usefixtures("short")
def test_the_demo_that_stays_prints_an_address_that_shows_the_simulated_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = StringIO()
    seen: list[httpx.Response] = []

    def look(serving: Serving) -> None:
        def ask() -> None:
            said = {"Site": "none", "Mode": "navigate", "Dest": "document"}
            window = {f"Sec-Fetch-{name}": value for name, value in said.items()}
            with httpx.Client(headers=window, follow_redirects=True, timeout=60) as browser:
                (address,) = re.findall(r"http\S+/login\?ticket=\S+", shown.getvalue())
                try:
                    seen.append(browser.get(address, headers={"Accept": "text/html"}))
                    seen.append(browser.get(f"{serving.url}/api/v1/summaries"))
                    seen.append(browser.get(f"{serving.url}/deliveries"))
                finally:
                    serving.stop()

        threading.Thread(target=ask).start()

    monkeypatch.setattr("accounting.demo.run.opened", look)
    console = Console(file=shown, width=180, force_terminal=False)
    assert run(tmp_path / "demo", stay=True, console=console) == 0
    page, summary, deliveries = seen
    assert (page.status_code, page.url.path) == (200, "/")
    assert sum(row["pods"] for row in summary.json()["rows"]) > 20
    assert all(name in deliveries.text for name in ("apel", "eosc", "gpus", "homes", "cim"))
    assert "Not in the settings" not in deliveries.text


def test_what_a_message_tells_of_a_month_is_what_the_demo_would_miss() -> None:
    """The last one may hold a single notebook of a minute, which nobody misses."""
    november: dict[str, Any] = {"RecordCreateTime": at(2026, 11, 20), "StartTime": at(2026, 11, 19)}
    before, most = message(record()), message(record(**november, WallDuration=7200))
    least = message(record(**november, WallDuration=60))
    told = [portal.told(body, Month(2026, 11)) for body in (before, most, least)]
    assert told == [0.0, 2.0, 0.02]
