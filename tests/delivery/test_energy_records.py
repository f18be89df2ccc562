"""Energy at GreenDIGIT's CIM: each notebook's day told once, whatever happens on the way."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from accounting.config import load
from accounting.delivery.differences import Chosen
from accounting.delivery.recomputed import Recomputed
from accounting.doctor.delivery import delivery
from accounting.errors import SettingsError
from accounting.simulation.judges.standin import Fault, Trouble
from accounting.store.engine.database import Database
from accounting.wiring.destinations import addresses
from accounting.wiring.pushers import pushers_of
from tests.delivery.books import NOVEMBER, opened, ran_on
from tests.delivery.cim import (
    DAY,
    PASSWORD,
    POLICY,
    EnergySite,
    measured,
    notebook,
    sender_to,
    telling,
)
from tests.private import secret

HOUR = 3600
FIRST = NOVEMBER.start


@pytest.fixture
def site(tmp_path: Path) -> Iterator[EnergySite]:
    with opened(tmp_path) as database, telling(database) as made:
        yield made


@pytest.fixture
def either(ledger: Database) -> Iterator[EnergySite]:
    """On either kind of database."""
    with telling(ledger) as made:
        yield made


def test_a_day_is_told_when_it_is_over_and_measured(either: EnergySite) -> None:
    site = either
    page = measured(ran_on(notebook(1), 25 * HOUR), (0, 1800.0, 36_000.0))
    site.poll([page], FIRST + DAY + HOUR - 1)
    assert site.push().built == 0
    site.measured(FIRST + DAY + HOUR)
    assert site.push().is_complete
    assert site.cim.events == [
        {
            "ExecUnitID": page.pod.uid,
            "StartExecTime": "2026-11-01T01:00:00Z",
            "EndExecTime": "2026-11-02T00:00:00Z",
            "EnergyWh": 10.0,
            "Work": 180.0,
            "Efficiency": round(1800 / (23 * HOUR), 4),
            "WallClockTime_s": 23 * HOUR,
            "CpuDuration_s": 1800,
            "SuspendDuration_s": 0,
            "CPUNormalizationFactor": 1.0,
            "ExecUnitFinished": 0,
            "Status": "running",
            "Owner": "vo.example.org",
            "SiteName": "EXAMPLE-SITE",
            "CloudType": "EGI Notebooks",
            "CloudComputeService": "",
        }
    ]
    measured(page, (1, 2000.0, 43_200.0))
    site.poll([ran_on(page, HOUR, ended=True)], FIRST + DAY + 5 * HOUR)
    assert site.push().built == 0
    site.measured(FIRST + 2 * DAY + HOUR)  # nothing was written meanwhile
    assert site.push().is_complete
    last = site.cim.events[-1]
    assert (last["EnergyWh"], last["CpuDuration_s"]) == (2.0, 200)
    assert (last["StartExecTime"], last["EndExecTime"]) == (
        "2026-11-02T00:00:00Z",
        "2026-11-02T04:00:00Z",
    )
    assert (last["ExecUnitFinished"], last["Status"]) == (1, "done")
    assert site.push().built == 0


def test_what_changes_after_it_was_told_waits_for_republish(site: EnergySite) -> None:
    page = measured(ran_on(notebook(1), 25 * HOUR), (0, 1800.0, 36_000.0))
    site.poll([page], FIRST + 2 * DAY)
    site.push()
    measured(page, (0, 1800.0, 72_000.0))
    site.poll([page], FIRST + 2 * DAY + 300)
    assert site.push().built == 0
    assert len(site.cim.documents) == 1
    with site.database.begin(reading=True) as connection:
        assert site.outlet.differing_count(connection, site.address, NOVEMBER) == 1
    receiver = Recomputed(site.database, site.address, site.outlet)
    assert receiver.republish(Chosen(NOVEMBER, changed=True)) == 1
    site.push()
    assert [one["EnergyWh"] for one in site.cim.events] == [10.0, 20.0]


def test_a_message_whose_answer_was_lost_is_not_stored_twice(site: EnergySite) -> None:
    pages = [measured(ran_on(notebook(n), 25 * HOUR), (0, 100.0, 3600.0)) for n in range(7)]
    site.poll(pages, FIRST + 2 * DAY)
    site.cim.troubles.append(Trouble(Fault.LOSE_ANSWER, "POST"))
    assert site.push().error is not None
    assert len(site.cim.documents) == 1
    assert site.push().is_complete
    assert len(site.cim.documents) == 2
    assert set(site.cim.watt_hours().values()) == {1.0}
    assert len(site.cim.watt_hours()) == 7


def test_records_that_come_again_in_other_messages_are_not_stored_twice(
    site: EnergySite, tmp_path: Path
) -> None:
    """As after the ledger was restored from a backup, or its destination got another name."""
    pages = [measured(ran_on(notebook(n), 25 * HOUR), (0, 100.0, 3600.0)) for n in range(7)]
    site.poll(pages[:5], FIRST + 2 * DAY)
    site.push()
    restored = tmp_path / "restored"
    restored.mkdir()
    with opened(restored) as database:
        again = replace(site, database=database, policy=replace(POLICY, records_per_message=4))
        again.poll(pages, FIRST + 2 * DAY)
        assert again.push().is_complete
    assert sorted(one["ExecUnitID"] for one in site.cim.events) == [p.pod.uid for p in pages]


def test_too_large_a_message_is_split_and_each_part_is_told_once(site: EnergySite) -> None:
    pages = [measured(ran_on(notebook(n), 25 * HOUR), (0, 100.0, 3600.0)) for n in range(4)]
    site.poll(pages, FIRST + 2 * DAY)
    site.cim.most_bytes = 1000
    report = site.push()
    assert report.is_complete
    assert report.split > 0
    assert sorted(site.cim.watt_hours().values()) == [1.0] * 4


@pytest.mark.parametrize("status", [500, 502, 429])
def test_what_may_pass_is_tried_again(site: EnergySite, status: int) -> None:
    site.poll([measured(ran_on(notebook(1), 25 * HOUR), (0, 1.0, 3600.0))], FIRST + 2 * DAY)
    site.cim.troubles.append(Trouble(status, "POST"))
    assert site.push().error is not None
    assert site.push().is_complete
    assert len(site.cim.documents) == 1


def test_a_token_that_ended_is_renewed_and_a_wrong_password_stops_without_being_shown(
    site: EnergySite,
) -> None:
    site.poll([measured(ran_on(notebook(1), 25 * HOUR), (0, 1.0, 3600.0))], FIRST + 2 * DAY)
    site.cim.troubles.append(Trouble(401, "GET"))
    assert site.push().is_complete
    site.poll([measured(ran_on(notebook(2), 25 * HOUR), (0, 1.0, 3600.0))], FIRST + 3 * DAY)
    site.password = "another-one"
    error = site.push().error
    assert error is not None
    assert "password" in str(error)
    assert "another-one" not in str(error)


def test_who_lacks_the_role_stops_and_says_which(site: EnergySite) -> None:
    site.poll([measured(ran_on(notebook(1), 25 * HOUR), (0, 1.0, 3600.0))], FIRST + 2 * DAY)
    site.cim.may_publish = False
    error = site.push().error
    assert "publish" in str(error)
    site.cim.may_publish = True
    assert site.push().is_complete


def test_the_check_logs_in_and_submits_nothing(site: EnergySite) -> None:
    site.cim.now = lambda: 0.0
    assert sender_to(site.standin.base).check() == ()
    assert site.cim.documents == []


def test_it_is_off_by_default_and_needs_energy_an_address_and_a_password(
    monkeypatch: pytest.MonkeyPatch, site: EnergySite, tmp_path: Path
) -> None:
    monkeypatch.setenv("ACCOUNTING_SITE_NAME", "EXAMPLE-SITE")
    assert "cim" not in addresses(load())
    monkeypatch.setenv("ACCOUNTING_CIM__URL", "http://cim.example.org/gd-cim-api/v1")
    with pytest.raises(SettingsError, match="https"):
        load()
    monkeypatch.setenv("ACCOUNTING_CIM__URL", site.standin.base)
    with pytest.raises(SettingsError, match="CIM__URL needs ACCOUNTING_CIM__EMAIL"):
        load()
    monkeypatch.setenv("ACCOUNTING_CIM__EMAIL", "site@example.org")
    monkeypatch.setenv("ACCOUNTING_CIM__PASSWORD_FILE", str(tmp_path / "password"))
    secret(tmp_path / "password", f"{PASSWORD}\n")
    with pytest.raises(SettingsError, match="no energy is measured"):
        pushers_of(load(), site.database)
    monkeypatch.setenv("ACCOUNTING_ENERGY__ENABLED", "true")
    site.poll([measured(ran_on(notebook(1), 25 * HOUR), (0, 1.0, 3600.0))], FIRST + 2 * DAY)
    pusher = pushers_of(load(), site.database, at_once=True)["cim"]
    assert pusher.destination == site.address
    site.at = time.time()
    assert pusher.push().is_complete
    assert list(site.cim.watt_hours().values()) == [1.0]
    found = [one for one in delivery(load(), time.time()) if one.name == "CIM"]
    assert [str(one.state) for one in found] == ["ok"]
