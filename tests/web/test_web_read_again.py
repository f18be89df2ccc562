"""Reading a time again whose samples came late: behind a real hub, from a real Prometheus."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from tests.api.hubs import SERVICE_TOKEN, Hub
from tests.api.serving import Running, listening, served
from tests.private import secret
from tests.web.conftest import PREFIX, Site
from tests.web.test_web_pages import look_at

END = datetime(2026, 11, 25, 12, tzinfo=UTC)
SILENT_FROM, SILENT_TO = END - timedelta(hours=3), END - timedelta(hours=2)
NOW = END.timestamp() + 60


class LateSamples:
    """A Prometheus that lacks an hour, until it is told that hour, too; its address stays."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._cluster = Cluster.generate(
            5, END - timedelta(hours=5), END, pods=30, mean_life=3000, features=Features.none()
        )
        populate(self._cluster, self._data, end=SILENT_FROM)
        populate(self._cluster, self._data, start=SILENT_TO)
        self._running = run_prometheus(self._data)
        self.url = self._running.__enter__().url

    def arrive(self) -> None:
        """As when an agent sends what it had kept."""
        self.close()
        populate(self._cluster, self._data, start=SILENT_FROM, end=SILENT_TO)
        self._running = run_prometheus(self._data, port=int(self.url.rpartition(":")[2]))
        self._running.__enter__()

    def close(self) -> None:
        self._running.__exit__(None, None, None)


@pytest.fixture
def late(tmp_path: Path) -> Iterator[LateSamples]:
    found = LateSamples(tmp_path / "late")
    yield found
    found.close()


@pytest.fixture
def site(
    hub: Hub, late: LateSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    secret(tmp_path / "hub-token", SERVICE_TOKEN)
    settings = {
        "PROMETHEUS__URL": late.url,
        "HUB__API_URL": hub.api,
        "HUB__API_TOKEN_FILE": str(tmp_path / "hub-token"),
        "HUB__PREFIX": f"{PREFIX}/",
        "HUB__ORIGIN": "user-domains",
    }
    with (
        served(tmp_path, monkeypatch, NOW, settings) as running,
        listening(running.service, running.doors, hub.service_port),
    ):
        poll(running)
        yield Site(running, hub)


def poll(running: Running) -> None:
    begun = running.post("/api/v1/poll").json()
    ended = running.get(f"/api/v1/runs/{begun['id']}?wait=25").json()
    assert ended["state"] in {"done", "incomplete"}, ended


def records(running: Running) -> dict[str, object]:
    found = running.get("/api/v1/records?limit=1000").json()["records"]
    return {one["uid"]: {**one, "digest": None} for one in found}


def test_a_time_whose_samples_came_late_is_read_again(
    site: Site,
    late: LateSamples,
    watched: Page,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = records(site.running)
    site.open(watched, "/gaps")
    again = watched.get_by_role("button", name="Read it again")
    expect(again).to_have_count(1)
    look_at(watched, "gaps-late")
    again.click()
    expect(watched.get_by_role("heading", level=1)).to_have_text("Done, but incomplete")
    expect(watched.locator("main")).to_contain_text("were still silent for a part of this time")
    look_at(watched, "read-again-in-vain")
    watched.get_by_role("link", name="Gaps", exact=True).last.click()
    expect(again).to_have_count(1)
    assert records(site.running) == before

    late.arrive()
    again.click()
    expect(watched.get_by_role("heading", level=1)).to_contain_text(re.compile("^Done(?!,)"))
    look_at(watched, "read-again")
    watched.get_by_role("link", name="Gaps", exact=True).last.click()
    expect(watched.get_by_text("No gaps")).to_be_visible()
    look_at(watched, "gaps-filled")

    folder = tmp_path / "at-once"
    folder.mkdir()
    with served(folder, monkeypatch, NOW, {"PROMETHEUS__URL": late.url}) as whole:
        poll(whole)
        expected = records(whole)
    found = records(site.running)
    assert {uid: found[uid] for uid in found if found[uid] != expected.get(uid)} == {}
    assert found.keys() == expected.keys() > before.keys()


def test_others_cannot_read_a_time_again(site: Site, page: Page) -> None:
    site.open(page, "/gaps", user="ada")
    expect(page.get_by_role("button", name="Read it again")).to_have_count(0)
