"""Each alert fires from what the service really says when it is broken, and stays silent else.

The service lives in a time of its own: it polls when its loop would, and is scraped every five
minutes. Its own metrics are promtool's input.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from accounting.config import load
from accounting.model.reconciliation import Cause, Line, Reconciliation, Unit, Used
from accounting.model.time import Month
from accounting.service.loops import PollLoop
from accounting.simulation.stores.engines import free_port, run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.store.reconciliations import Reconciliations
from accounting.store.tables import records, revisions
from accounting.wiring.polling import poller_of
from accounting.wiring.source import source_of
from ssm.testing.authority import Authority
from ssm.testing.standin import AmsStandin
from tests.api.serving import Running, served
from tests.broker import delivery_to
from tests.delivery.books import account, ran_on, write
from tests.monitoring.tape import STEP, Tape, fires, silent
from tests.private import secret

HOUR, DAY = 3600, 86400
Starts = Callable[..., "Life"]


class Life:
    """A service, scraped as it goes on."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.tape = Tape("accounting", running.clock.now)
        self._loop = PollLoop(running.service.jobs, interval_seconds=300)
        self._due = running.clock.now

    def go_on(self, seconds: float) -> "Life":
        """Let time pass, with polls when they are due."""
        until = self.running.clock.now + seconds
        while self.running.clock.now < until:
            if self.running.clock.now >= self._due:
                self._loop.poll_once()
                self._due = self.running.clock.now + self._loop.delay_seconds
            self.tape.take(self.running.get("/metrics").text)
            self.running.clock.now += STEP
        return self

    def wait(self, seconds: float) -> "Life":
        """Let time pass in which nothing happens; the service is asked every half hour."""
        for n in range(int(seconds / STEP)):
            if n % 6 == 0:
                shown = self.running.get("/metrics").text
            self.tape.take(shown)
            self.running.clock.now += STEP
        return self

    def push(self) -> None:
        self.running.service.jobs.push()

    def fired(self) -> set[str]:
        return self.tape.fired(self.running.folder)


@contextmanager
def history(hours: float, features: Features, folder: Path) -> Iterator[tuple[str, float]]:
    """A Prometheus with a history that ends now, and when it began."""
    end = datetime.now(UTC) - timedelta(seconds=5)
    start = end - timedelta(hours=hours)
    populate(Cluster.generate(4, start, end, pods=12, features=features), folder / "data")
    with run_prometheus(folder / "data") as engine:
        yield engine.url, start.timestamp()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, float]]:
    with history(26, Features.none(), tmp_path_factory.mktemp("quiet")) as found:
        yield found


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, float]]:
    """Silent for forty minutes; owners are unknown, and one pod has no uid."""
    folder = tmp_path_factory.mktemp("odd")
    features = replace(Features.none(), hole=True, allowlist_missing=True)
    pod = 'kube_pod_status_phase{namespace="jupyterhub",pod="jupyter-odd",phase="Running"}'
    began = datetime.now(UTC).timestamp() - 6 * HOUR
    samples = [f"{pod} 1 {began + n * 60:.0f}" for n in range(340)]
    (folder / "odd.om").write_text("\n".join([*samples, "# EOF\n"]))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "odd.om", "data"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    with history(6, features, folder) as found:
        yield found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starts]:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())

        def begin(source: str, at: float, **changes: str) -> Life:
            given = {"PROMETHEUS__URL": source, "VO__DEFAULT_FOR_UNMAPPED": "true"} | changes
            given.setdefault("VO__DEFAULT", "vo.example.org")
            return Life(stack.enter_context(served(tmp_path, patch, at, given)))

        yield begin


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def broker(authority: Authority) -> Iterator[AmsStandin]:
    with AmsStandin(authority) as running:
        yield running


NOWHERE = f"http://127.0.0.1:{free_port()}"
SOON = ("NotebooksAccountingCertificate", "NotebooksAccountingCertificateSoon")


@silent("accounting")
def test_a_fresh_install_that_works_raises_nothing(
    start: Starts, quiet: tuple[str, float], broker: AmsStandin, authority: Authority
) -> None:
    """For an hour longer than any alert looks back; of those that wait for days, none waits."""
    url, began = quiet
    host = authority.issue("host.example.org", key="ec")
    life = start(url, began + 17 * HOUR, **delivery_to(broker, authority, host))
    life.go_on(7 * HOUR)
    life.push()
    life.go_on(HOUR)
    assert broker.log
    assert life.fired() == set()


@fires("NotebooksAccountingNeverPolled", "NotebooksAccountingPollsFail")
def test_an_install_that_never_polled_is_told(start: Starts, quiet: tuple[str, float]) -> None:
    life = start(NOWHERE, quiet[1]).go_on(3 * HOUR)
    assert life.fired() == {"NotebooksAccountingNeverPolled", "NotebooksAccountingPollsFail"}


@fires("NotebooksAccountingLag")
def test_a_prometheus_that_went_away_is_told(
    start: Starts, quiet: tuple[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(quiet[0], quiet[1] + HOUR).go_on(2 * HOUR)
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", NOWHERE)
    with source_of(load()) as source:
        service = life.running.service
        service.jobs._poller = poller_of(load(), service.database, source)
        life.go_on(3 * HOUR)
    assert life.fired() == {"NotebooksAccountingLag", "NotebooksAccountingPollsFail"}


@fires("NotebooksAccountingSourceSilent")
def test_a_silent_source_is_told(start: Starts, quiet: tuple[str, float]) -> None:
    life = start(quiet[0], quiet[1] + 25 * HOUR).go_on(3 * HOUR)
    assert life.fired() == {"NotebooksAccountingSourceSilent", "NotebooksAccountingLag"}


@fires("NotebooksAccountingGap", "NotebooksAccountingValuesSetAside")
def test_a_gap_and_values_that_cannot_be_true_are_told(
    start: Starts, odd: tuple[str, float]
) -> None:
    life = start(odd[0], odd[1] + HOUR).go_on(4 * HOUR)
    assert {"NotebooksAccountingGap", "NotebooksAccountingValuesSetAside"} <= life.fired()


@fires("NotebooksAccountingHeld")
def test_records_that_are_held_back_are_told(start: Starts, odd: tuple[str, float]) -> None:
    life = start(odd[0], odd[1] + 5 * HOUR)
    life.go_on(2 * STEP).wait(26 * HOUR)
    assert "NotebooksAccountingHeld" in life.fired()


@fires("NotebooksAccountingDatedAhead")
def test_records_of_the_future_are_told(start: Starts, quiet: tuple[str, float]) -> None:
    life = start(quiet[0], quiet[1] + 20 * HOUR).go_on(2 * STEP)
    write(life.running.service.database, [ran_on(account(0), 5000 * DAY)])
    life.go_on(HOUR)
    assert "NotebooksAccountingDatedAhead" in life.fired()


@fires("NotebooksAccountingErrors")
def test_a_database_that_breaks_is_told(start: Starts, quiet: tuple[str, float]) -> None:
    life = start(quiet[0], quiet[1] + 20 * HOUR).go_on(2 * STEP)
    life.running.service.database.close()
    for file in life.running.folder.glob("accounting.db*"):
        file.unlink()
    (life.running.folder / "accounting.db").write_text(
        "not a database, but as long as a page\n" * 99
    )
    for _ in range(12):
        for _ in range(4):
            life.running.get("/api/v1/records")
        life.wait(STEP)
    assert life.fired() == {"NotebooksAccountingErrors", "NotebooksAccountingNeverPolled"}


@fires("NotebooksAccountingNoDelivery")
def test_a_broker_that_is_away_is_told(
    start: Starts, quiet: tuple[str, float], authority: Authority
) -> None:
    host = authority.issue("host.example.org", key="ec")
    with AmsStandin(authority) as gone:
        given = delivery_to(gone, authority, host)
    life = start(quiet[0], datetime.now(UTC).timestamp(), **given).go_on(2 * STEP)
    life.push()
    life.wait(51 * HOUR)
    assert "NotebooksAccountingNoDelivery" in life.fired()
    assert not {"NotebooksAccountingParked", "NotebooksAccountingStopped"} & life.fired()


@fires("NotebooksAccountingNeverDelivered")
def test_a_delivery_that_nobody_starts_is_told(
    start: Starts, quiet: tuple[str, float], broker: AmsStandin, authority: Authority
) -> None:
    host = authority.issue("host.example.org", key="ec")
    given = delivery_to(broker, authority, host)
    life = start(quiet[0], datetime.now(UTC).timestamp(), **given).go_on(2 * STEP)
    life.wait(50 * HOUR)
    assert "NotebooksAccountingNeverDelivered" in life.fired()


def test_a_site_that_only_measures_is_left_alone(start: Starts, quiet: tuple[str, float]) -> None:
    life = start(quiet[0], quiet[1] + 20 * HOUR, SSM__TRANSPORT="ams").go_on(2 * STEP)
    life.wait(60 * HOUR)
    assert "notebooks_accounting_due_records" in str(life.tape.series)
    assert life.fired() <= {"NotebooksAccountingLag"}


@fires("NotebooksAccountingStopped")
def test_a_refusing_repository_is_told(
    start: Starts, quiet: tuple[str, float], broker: AmsStandin, authority: Authority
) -> None:
    host = authority.issue("host.example.org", key="ec")
    given = delivery_to(broker, authority, host)
    life = start(quiet[0], datetime.now(UTC).timestamp(), **given).go_on(2 * STEP)
    broker.fail(403)
    life.push()
    assert "NotebooksAccountingStopped" in life.wait(HOUR).fired()


def test_alerts_name_the_destination_that_they_are_about(
    start: Starts, quiet: tuple[str, float], broker: AmsStandin, authority: Authority
) -> None:
    """One stops, one sets aside, one is never pushed to; the first one is well."""
    host = authority.issue("host.example.org", key="ec", days=20)
    pair = {"hostcert": str(host.cert), "hostkey": str(host.key)}
    broken = pair | {
        "transport": "ams",
        "ams_host": broker.host,
        "ams_port": broker.port,
        "authn_port": broker.authn_port,
        "ca_file": str(authority.ca_file),
        "ams_topic": "copy",
    }
    others = {
        "copy": broken,
        "late": broken | {"ams_topic": "late"},
        "sums": broken | {"records": "summary"},
    }
    life = start(quiet[0], datetime.now(UTC).timestamp(), DESTINATIONS=json.dumps(others)).go_on(
        2 * STEP
    )
    jobs = life.running.service.jobs
    jobs.push(only="apel")
    broker.fail(403)
    jobs.push(only="copy")
    life.wait(51 * HOUR)
    of = {
        name: life.tape.destinations(life.running.folder, f"NotebooksAccounting{name}")
        for name in ("Stopped", "NoDelivery", "NeverDelivered", "Parked", "Certificate")
    }
    assert of == {
        "Stopped": {"copy"},
        "NoDelivery": {"copy"},
        "NeverDelivered": {"late"},
        "Parked": set(),
        "Certificate": {"copy", "late", "sums"},
    }


@fires("NotebooksAccountingPortalDiffers")
def test_a_portal_that_differs_is_told(start: Starts, quiet: tuple[str, float]) -> None:
    now = datetime.now(UTC).timestamp()
    life = start(quiet[0], now).go_on(2 * STEP)
    fewer = Line("EXAMPLE", "vo.example.org", Used(1, 3600, 60), Used(2, 7200, 120), Cause.REFUSED)
    made = Reconciliation(
        Month.of(now), "apel", now, "portal.csv", Unit.HOURS, is_partial=False, lines=[fewer]
    )
    Reconciliations(life.running.service.database).keep(made)
    assert "NotebooksAccountingPortalDiffers" in life.wait(3 * HOUR).fired()


@fires("NotebooksAccountingUnmappedFlavors")
def test_hours_of_flavours_that_eosc_is_not_told_are_told(
    start: Starts, quiet: tuple[str, float], tmp_path: Path
) -> None:
    secret(tmp_path / "eosc-secret", "a-secret")
    given = {
        "EOSC__URL": "https://api.example.org",
        "EOSC__TOKEN_URL": "https://aai.example.org/token",
        "EOSC__CLIENT_ID": "client",
        "EOSC__CLIENT_SECRET_FILE": str(tmp_path / "eosc-secret"),
        "EOSC__INSTALLATION": "site",
    }
    now = datetime.now(UTC).timestamp()
    life = start(quiet[0], now, **given).go_on(2 * STEP).wait(2 * HOUR)
    assert "NotebooksAccountingUnmappedFlavors" in life.fired()


@fires("NotebooksAccountingParked")
def test_messages_that_are_set_aside_are_told(
    start: Starts, quiet: tuple[str, float], broker: AmsStandin, authority: Authority
) -> None:
    host = authority.issue("host.example.org", key="ec")
    given = delivery_to(broker, authority, host) | {"SSM__RECORDS_PER_MESSAGE": "1"}
    life = start(quiet[0], datetime.now(UTC).timestamp(), **given).go_on(2 * STEP)
    broker.fail(400)
    life.push()
    assert "NotebooksAccountingParked" in life.wait(HOUR).fired()


@fires("NotebooksAccountingDiffering")
def test_records_of_closed_months_that_differ_are_told(
    start: Starts, quiet: tuple[str, float], broker: AmsStandin, authority: Authority
) -> None:
    host = authority.issue("host.example.org", key="ec")
    given = delivery_to(broker, authority, host)
    life = start(quiet[0], datetime.now(UTC).timestamp(), **given).go_on(2 * STEP)
    life.push()
    with life.running.service.database.begin() as connection:  # as a later poll would
        connection.execute(update(records).values(digest="another", apart=True))
        connection.execute(update(revisions).values(revision=revisions.c.revision + 1))
    life.running.clock.now += 40 * DAY
    assert "NotebooksAccountingDiffering" in life.wait(2 * HOUR).fired()


@pytest.mark.parametrize(
    ("days", "told"),
    [(60, ()), (20, SOON[:1]), pytest.param(5, SOON, marks=fires(*SOON))],
)
def test_a_certificate_that_ends_soon_is_told(
    start: Starts, broker: AmsStandin, authority: Authority, days: int, told: tuple[str, ...]
) -> None:
    host = authority.issue("host.example.org", key="ec", days=days)
    given = delivery_to(broker, authority, host)
    life = start(NOWHERE, datetime.now(UTC).timestamp(), **given).wait(HOUR)
    assert life.fired() & set(SOON) == set(told)


@fires("NotebooksAccountingAbsent")
def test_a_service_that_is_not_there_is_told(tmp_path: Path) -> None:
    nothing = Tape("accounting", 0.0, length=12)
    assert nothing.fired(tmp_path) == {"NotebooksAccountingAbsent"}
