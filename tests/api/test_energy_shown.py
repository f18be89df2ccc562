"""Energy per user and VO, with how well it is known beside it: API, exports, pages."""

import csv
import io
from dataclasses import replace

import pytest
from playwright.sync_api import Page

from accounting.model.energy import EnergyRules
from accounting.model.pods import Account, DayReading, Owner, Pod, Reading, Resources
from accounting.model.time import Gap, Month, Window
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.store.ledger import Ledger, Progress, Step
from tests.api.serving import ADMIN, Running, Serve
from tests.browser import WIDTHS

NOVEMBER = Month(2026, 11)
T = NOVEMBER.start + 86400
DAY = T // 86400
NOW = float(T + 86400)
MEASURED, ESTIMATED = "measured active energy", "estimated"


def notebook(number: int, user: str, vo: str, joules: float | None) -> Account:
    """An hour of half a core."""
    pod = Pod(
        f"6b4f0d5e-0000-4000-8000-{number:012}",
        "hub",
        f"jupyter-{number}",
        T,
        T + 3600.0,
        T + 3600.0,
        started_at=T,
        owner=Owner(user, vo),
        resources=Resources(cpu_request=1.0, memory_request_bytes=2.0**30),
        ended=True,
        owner_known=True,
    )
    zones = () if joules is None else (("package", joules), ("psys", 2 * joules))
    days = {DAY: DayReading(T + 3600, 1800.0, zones)}
    return Account(pod, {}, {NOVEMBER: Reading(T + 3600, 1800.0)}, days=days)


ACCOUNTS = [
    notebook(1, "ada", "physics", 36_000.0),
    notebook(2, "ada", "physics", 18_000.0),
    notebook(3, "bob", "physics", None),
    notebook(4, "eve", "biology", None),
]
ESTIMATING = ACCOUNTS[3]


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    made = serve_all(NOW, ENERGY__ENABLED="true", ENERGY__GRAMS_PER_KWH="200")
    site, rules = Site("EXAMPLE", energy=EnergyRules()), VoRules()
    records = []
    for account in ACCOUNTS:
        watts = 8.0 if account is ESTIMATING else None
        own = replace(site, energy=EnergyRules(watts_per_core=watts))
        records += list(builder.records(account, own, rules))
    gaps: list[Gap] = []
    window, after = Window(T, T + 7200), Progress(T + 7200, T + 7200.0, 60.0)
    Ledger(made.service.database).commit(
        Step(window, None, after, ACCOUNTS, records, gaps, spoke=True, rejected=0)
    )
    return made


def rows(running: Running, by: str) -> dict[str, dict[str, object]]:
    answer = running.get(f"/api/v1/summaries?by={by}").json()
    return {row[by]: row for row in answer["rows"]}


def test_sums_by_user_and_vo_say_how_well_they_are_known(running: Running) -> None:
    users = rows(running, "user")
    found = {name: (row["joules"], row["energy_quality"]) for name, row in users.items()}
    assert found == {
        "ada": (54_000.0, MEASURED),
        "bob": (0.0, ""),
        "eve": (14_400.0, ESTIMATED),
    }
    assert users["ada"]["co2_grams"] == 3.0
    assert users["bob"]["co2_grams"] is None
    vos = rows(running, "vo")
    assert vos["physics"]["energy_quality"] == "measured in part"
    assert vos["physics"]["pods_without_energy"] == 1
    assert vos["biology"]["joules_estimated"] == 14_400.0


def test_a_day_has_the_energy_of_its_notebooks(running: Running) -> None:
    assert rows(running, "day")["2026-11-02"]["joules"] == 68_400.0


def test_a_record_and_every_export_tell_it_with_its_quality(running: Running) -> None:
    uid = ACCOUNTS[0].pod.uid
    (record,) = running.get(f"/api/v1/records/{uid}").json()["months"]
    assert (record["joules"], record["energy_quality"]) == (36_000.0, MEASURED)
    table = running.get("/api/v1/records?format=csv").text
    told = {row["uid"]: row for row in csv.DictReader(io.StringIO(table))}
    assert (told[uid]["joules"], told[uid]["energy_quality"]) == ("36000.0", MEASURED)
    assert told[ACCOUNTS[2].pod.uid]["joules"] == ""
    sums = running.get("/api/v1/summaries?by=user&format=csv").text
    ada = next(row for row in csv.DictReader(io.StringIO(sums)) if row["user"] == "ada")
    assert (ada["joules"], ada["energy_quality"], ada["co2_grams"]) == ("54000.0", MEASURED, "3.0")


def test_pages_show_it_with_its_quality_and_co2(running: Running) -> None:
    usage = running.get("/usage?by=user&first=2026-11&last=2026-11&sort=-energy&show=energy").text
    assert f"{MEASURED}, 3.00 g CO\N{SUBSCRIPT TWO}" in usage
    assert usage.count('data-label="Energy"><span><a class="figure" href="/records?') > 1
    assert ESTIMATED in usage
    assert "of these notebooks is unknown, or known only in part" in usage
    record = running.get(f"/records/{ACCOUNTS[0].pod.uid}").text
    assert f"{MEASURED}, 2.00 g CO\N{SUBSCRIPT TWO}" in record


def test_on_a_laptop_no_column_is_hidden_by_it(running: Running, page: Page) -> None:
    page.goto(running.url)
    page.fill("input[name=token]", ADMIN)
    page.keyboard.press("Enter")
    page.wait_for_selector("nav")
    wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    for path in ("/usage?by=vo", "/usage?by=user", f"/records/{ACCOUNTS[0].pod.uid}", "/records"):
        page.goto(f"{running.url}{path}")
        page.set_viewport_size({"width": WIDTHS["laptop"], "height": 900})
        shown = page.locator("table").first.inner_text()
        assert "ENERGY" in shown.upper() or path == "/records"
        found = page.evaluate(f"{wide}.map(e => e.getAttribute('aria-label'))")
        assert not found, f"{path} hides columns of {found}"
