"""EOSC's accounting in the settings, the service and the doctor."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounting.config import load
from accounting.delivery.outlets.hours import Hours
from accounting.doctor.database import flavors
from accounting.doctor.delivery import delivery
from accounting.doctor.finding import State
from accounting.errors import SettingsError
from accounting.model.pods import Owner
from accounting.records.daily import Metric
from accounting.simulation.judges.eosc import Eosc, EoscStandin
from accounting.store.engine.database import Database
from accounting.store.tables import progress
from accounting.wiring.destinations import addresses, names_of, place_of
from accounting.wiring.places import outlet_of, places
from accounting.wiring.pushers import pushers_of
from tests.api.serving import served
from tests.delivery.books import NOVEMBER, account, opened, ran_on, write
from tests.private import secret

DAY = 86400


@pytest.fixture
def standin() -> Iterator[EoscStandin]:
    with EoscStandin(Eosc(now=lambda: NOVEMBER.end * 2.0)) as running:
        yield running


def given(folder: Path, standin: EoscStandin, **changes: str) -> dict[str, str]:
    """The settings that a site needs, in the environment's spelling."""
    secret(folder / "eosc-secret", "the-clients-secret\n")
    return {
        "EOSC__URL": standin.url,
        "EOSC__TOKEN_URL": standin.token_url,
        "EOSC__CLIENT_ID": "client",
        "EOSC__CLIENT_SECRET_FILE": str(folder / "eosc-secret"),
        "EOSC__INSTALLATION": "site",
        "EOSC__METRICS": json.dumps({"small": "small-hours"}),
    } | changes


def loaded(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"ACCOUNTING_{name}", value)


def test_nothing_goes_to_eosc_unless_its_address_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, {"EOSC__INSTALLATION": "site"})
    assert [place.name for place in places(load())] == ["apel"]


def test_the_settings_become_a_destination_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, standin: EoscStandin
) -> None:
    metrics = {
        "small": "small-hours",
        "gpu-*": {"definition": "gpu", "installation": "another"},
        "free": "none",
    }
    more = {"EOSC__METRICS": json.dumps(metrics), "EOSC__FIRST_DAY": "1970-01-03"}
    loaded(monkeypatch, given(tmp_path, standin, **more))
    settings = load()
    found = settings.eosc.of_flavors()
    assert found.of("small") == Metric("site", "small-hours")
    assert found.of("gpu-large") == Metric("another", "gpu")
    assert (found.knows("free"), found.of("free"), found.knows("odd")) == (True, None, False)
    assert settings.eosc.first == 2
    assert isinstance(outlet_of(place_of(settings, "eosc")), Hours)
    assert addresses(settings)["eosc"] == f"{standin.url}#hours"
    assert names_of(settings)[f"{standin.url}#hours"] == "eosc"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"EOSC__URL": "http://api.example.org"}, "https"),
        ({"EOSC__TOKEN_URL": ""}, "needs ACCOUNTING_EOSC__TOKEN_URL"),
        ({"EOSC__CLIENT_SECRET_FILE": ""}, "needs ACCOUNTING_EOSC__CLIENT_SECRET_FILE"),
        ({"EOSC__INSTALLATION": ""}, "has no installation"),
        ({"EOSC__INSTALLATION": "../metrics"}, "is not an id"),
        ({"EOSC__METRICS": '{"small": {"definition": "a/b"}}'}, "is not an id"),
        ({"EOSC__METRICS": "small"}, "not JSON"),
        ({"EOSC__FIRST_DAY": "yesterday"}, "is not a day"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    standin: EoscStandin,
    changes: dict[str, str],
    said: str,
) -> None:
    loaded(monkeypatch, given(tmp_path, standin, **changes))
    with pytest.raises(SettingsError, match=said):
        load()


def test_another_destination_of_that_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, standin: EoscStandin
) -> None:
    more = {"DESTINATIONS": '{"eosc": {"ams_topic": "other"}}'}
    loaded(monkeypatch, given(tmp_path, standin, **more))
    with opened(tmp_path) as database, pytest.raises(SettingsError, match="another name"):
        pushers_of(load(), database)


def measured(database: Database) -> None:
    """A notebook's first day of November, and what follows of the second."""
    write(database, [ran_on(account(1), 24 * 3600)])
    with database.begin() as connection:
        connection.execute(progress.update().values(watermark=NOVEMBER.start + 3 * DAY))


def test_a_push_of_the_service_reaches_it_beside_the_others_and_the_pages_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, standin: EoscStandin
) -> None:
    with opened(tmp_path) as database:
        measured(database)
    settings = given(tmp_path, standin)
    with served(tmp_path, monkeypatch, NOVEMBER.start + 4.0 * DAY, settings) as running:
        assert running.service.jobs.push().ending == "done"
        assert sorted(standin.eosc.hours().values()) == [2.0, 23.0]
        status = running.get("/api/v1/status").json()["delivery"]["destinations"]
        assert (status["eosc"]["messages"]["sent"], status["eosc"]["due"]) == (1, 0)
        assert status["eosc"]["certificate_days"] is None
        page = running.get("/deliveries/2", headers={"Accept": "text/html"}).text
        assert (
            "small-hours" in page
            or "small-hours" in running.get("/deliveries/1", headers={"Accept": "text/html"}).text
        )


def test_flavours_that_no_metric_takes_are_shown_everywhere_and_go_once_one_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, standin: EoscStandin
) -> None:
    odd, left_out = account(2), account(3)
    odd.pod.owner = Owner("u2", "vo.example.org", "odd <b>")
    left_out.pod.owner = Owner("u3", "vo.example.org", "free")
    with opened(tmp_path) as database:
        measured(database)
        write(database, [odd, left_out])
        with database.begin() as connection:
            connection.execute(progress.update().values(watermark=NOVEMBER.start + 3 * DAY))
    given_metrics = {"small": "small-hours", "free": "none"}
    settings = given(tmp_path, standin, EOSC__METRICS=json.dumps(given_metrics))
    now = NOVEMBER.start + 4.0 * DAY
    html = {"Accept": "text/html"}
    with served(tmp_path, monkeypatch, now, settings) as running:
        running.service.jobs.push()
        assert running.get("/api/v1/status").json()["delivery"]["unmapped_flavors"] == {
            "odd <b>": 1.0
        }
        page = running.get("/deliveries", headers=html).text
        assert "odd &lt;b&gt;: 1.0 hours" in page
        assert "Hours of these flavours are not reported" in running.get("/", headers=html).text
        shown = running.get("/metrics").text
        assert "notebooks_accounting_unmapped_flavors 1.0" in shown
        assert "notebooks_accounting_unmapped_hours 1.0" in shown
    (told,) = flavors(load(), now)
    assert (told.state, "odd <b> (1.0 h)" in told.what) == (State.WARNING, True)
    assert sorted(standin.eosc.hours().values()) == [2.0, 23.0]

    given_metrics["odd*"] = "large-hours"
    settings = given(tmp_path, standin, EOSC__METRICS=json.dumps(given_metrics))
    with served(tmp_path, monkeypatch, now, settings) as running:
        running.service.jobs.push()
        assert "notebooks_accounting_unmapped_flavors 0.0" in running.get("/metrics").text
    assert list(flavors(load(), now)) == []
    assert standin.eosc.hours()["large-hours", "u2", "vo.example.org", "2026-11-01"] == 1.0


def test_a_secret_that_cannot_be_read_stops_it_until_it_can_and_is_told_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, standin: EoscStandin
) -> None:
    loaded(monkeypatch, given(tmp_path, standin) | {"SITE_NAME": "EXAMPLE"})
    file = tmp_path / "eosc-secret"
    with opened(tmp_path) as database:
        measured(database)
        file.chmod(0o644)
        error = str(pushers_of(load(), database)["eosc"].push().error)
        assert "ACCOUNTING_EOSC__CLIENT_SECRET_FILE" in error
        assert "the-clients-secret" not in error
        file.chmod(0o400)
        assert pushers_of(load(), database)["eosc"].push().is_complete


def test_the_doctor_logs_in_and_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, standin: EoscStandin
) -> None:
    more = {"SSM__TRANSPORT": "dirq", "SSM__DIRQ_PATH": str(tmp_path / "spool")}
    loaded(monkeypatch, given(tmp_path, standin, **more))

    def found() -> tuple[State, str]:
        (told,) = (one for one in delivery(load(), 0.0) if one.name == "EOSC")
        return told.state, told.what + told.cure

    assert found()[0] is State.OK
    standin.eosc.roles = frozenset({"add"})
    state, said = found()
    assert state is State.FAILED
    assert "roles" in said
    standin.eosc.client = ("client", "another")
    assert "gives no token: 401 invalid_client" in found()[1]
