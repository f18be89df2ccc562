"""APEL's accelerator records: per pod, month and model, as the receiver's schema has them."""

import json
from dataclasses import replace

import pytest

from accounting.config import load
from accounting.delivery import pusher
from accounting.delivery.differences import Chosen, Kind
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.accelerators import Accelerators, usage
from accounting.delivery.recomputed import Recomputed
from accounting.errors import SettingsError
from accounting.model.accelerators import Accelerator, Surroundings, Use, UseKey
from accounting.model.pods import Resources
from accounting.model.time import Month
from accounting.records import builder
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user
from accounting.wiring.destinations import place_of
from accounting.wiring.places import outlet_of
from tests.delivery.books import NOVEMBER, RULES, SITE, Inbox, account, ran_on, with_gpus, write

POLICY = pusher.Policy(close_after_seconds=2 * 86400.0, at_once=True, settle_seconds=0)
MUST = {
    "MeasurementMonth": int,
    "MeasurementYear": int,
    "AssociatedRecordType": str,
    "AssociatedRecord": str,
    "FQAN": str,
    "SiteName": str,
    "Count": float,
    "AvailableDuration": int,
    "Type": str,
    "Model": str,
}
MAY = {"ActiveDuration": int, "GlobalUserName": str}
ADDRESS = "inbox://example.org#accelerators"


def push(database: Database, inbox: Inbox, at: float = NOVEMBER.end - 60.0) -> pusher.Report:
    return pusher.Pusher(Outbox(database, Accelerators()), inbox, POLICY, now=lambda: at).push()


def held(inbox: Inbox) -> dict[tuple[str, int, str], dict[str, object]]:
    """What the receiver holds: it checks, and replaces by (pod, month, model)."""
    found = {}
    for body in inbox.bodies:
        message = json.loads(body)
        assert (message["Type"], message["Version"]) == ("APEL-accelerator-message", "0.1")
        assert set(message) == {"Type", "Version", "UsageRecords"}
        assert 1 <= len(message["UsageRecords"]) <= 1000
        assert body.isascii()
        for one in message["UsageRecords"]:
            assert set(MUST) <= set(one) <= set(MUST) | set(MAY)
            for name, value in one.items():
                assert isinstance(value, (MUST | MAY)[name]), name
            assert one["AssociatedRecordType"] == "cloud"
            assert one["Type"] in {"GPU", "FPGA", "Other"}
            found[one["AssociatedRecord"], one["MeasurementMonth"], one["Model"]] = one
    return found


def test_a_pod_with_gpus_has_a_record_and_one_without_has_none(ledger: Database) -> None:
    write(ledger, [with_gpus(1, 2.0), account(2)])
    inbox = Inbox()
    assert push(ledger, inbox).records == 1
    (one,) = held(inbox).values()
    assert (one["Count"], one["AvailableDuration"], one["Type"]) == (2.0, 3600, "GPU")
    assert (one["Model"], one["GlobalUserName"]) == ("NVIDIA-A100", "user-1@example.org")
    assert "ActiveDuration" not in one
    assert push(ledger, inbox).built == 0


def test_available_time_is_of_the_month_alone_and_active_time_is_the_real_use(
    ledger: Database,
) -> None:
    page = with_gpus(1)
    left = NOVEMBER.end - page.readings[NOVEMBER].at
    ran_on(page, left - 1)
    ran_on(page, 1 + 7200)
    day = NOVEMBER.end // 86400
    page.uses = {UseKey(day, ""): Use(1800.0, None, "NVIDIA-A100")}
    write(ledger, [page])
    inbox = Inbox()
    push(ledger, inbox, NOVEMBER.end + 3600.0)
    found = {key[1]: one for key, one in held(inbox).items()}
    assert found[12]["AvailableDuration"] == 7200 + 1  # November was measured at its last second
    assert found[12]["ActiveDuration"] == 1800
    assert found[11]["AvailableDuration"] == left + 3600 - 1


def test_a_share_counts_as_its_part_of_a_device(ledger: Database) -> None:
    page = with_gpus(1)
    page.pod.resources = replace(
        page.pod.resources or Resources(), accelerators=(("nvidia_com_gpu_shared", 1.0),)
    )
    labels = (("nvidia_com_gpu_product", "NVIDIA-A100-SHARED"), ("nvidia_com_gpu_replicas", "4"))
    page.pod.surroundings = Surroundings(labels)
    write(ledger, [page])
    inbox = Inbox()
    push(ledger, inbox)
    (one,) = held(inbox).values()
    assert one["Count"] == 0.25
    assert "ActiveDuration" not in one


def test_a_model_that_is_held_no_more_is_sent_with_no_time(ledger: Database) -> None:
    page = with_gpus(1)
    write(ledger, [page])
    inbox = Inbox()
    push(ledger, inbox)
    page.pod.surroundings = Surroundings((("nvidia_com_gpu_product", "NVIDIA-H100"),))
    write(ledger, [page])
    assert push(ledger, inbox).records == 2
    times = {key[2]: one["AvailableDuration"] for key, one in held(inbox).items()}
    assert times == {"NVIDIA-A100": 0, "NVIDIA-H100": 3600}
    assert push(ledger, inbox).built == 0


def test_what_is_held_back_or_cannot_be_counted_is_not_sent(ledger: Database) -> None:
    unknown = with_gpus(1)
    unknown.pod.resources = replace(
        unknown.pod.resources or Resources(), accelerators=(("example_org_thing", 3.0),)
    )
    claimed = account(2)
    claimed.pod.surroundings = Surroundings(claims=("gpu-claim",))
    nobody = with_gpus(3)
    nobody.pod.owner_known = False
    write(ledger, [unknown, claimed, nobody])
    inbox = Inbox()
    assert push(ledger, inbox).is_complete
    assert inbox.bodies == []


def test_two_resources_of_one_model_are_one_record() -> None:
    record = next(builder.records(with_gpus(1), SITE, RULES))
    whole = Accelerator("nvidia_com_gpu", "GPU", "A100", 1.0, 1.0, 100, 50)
    part = Accelerator("nvidia_com_gpu_shared", "GPU", "A100", 0.5, 0.5, 80, 20)
    both = usage(record, [whole, part])
    assert (both["Count"], both["AvailableDuration"], both["ActiveDuration"]) == (1.5, 100, 40)
    assert "ActiveDuration" not in usage(record, [whole, replace(part, active_seconds=None)])


def test_a_correction_of_a_closed_month_waits_for_republish(ledger: Database) -> None:
    write(ledger, [ran_on(with_gpus(1), 60, ended=True)])
    inbox = Inbox()
    closed = NOVEMBER.end + 3 * 86400.0
    push(ledger, inbox, closed)
    page = ran_on(with_gpus(1), 100, ended=True)
    write(ledger, [page])
    assert push(ledger, inbox, closed).built == 0
    outbox = Outbox(ledger, Accelerators())
    assert outbox.differing_count(Month.of(closed - 2 * 86400), ADDRESS) == 1
    receiver = Recomputed(ledger, ADDRESS, Accelerators())
    (found,) = receiver.differences(Chosen(NOVEMBER, vo="vo.example.org"))
    assert (found.kind, found.wall_seconds) == (Kind.CHANGED, 40)
    assert receiver.republish(Chosen(NOVEMBER)) == 1
    assert push(ledger, inbox, closed).records == 1


def test_an_erased_user_is_named_nowhere_and_what_was_told_stays(ledger: Database) -> None:
    write(ledger, [ran_on(with_gpus(1), 60, ended=True)])
    inbox = Inbox()
    push(ledger, inbox)
    erase_user(ledger, "user-1@example.org")
    with ledger.begin(reading=True) as connection:
        for table in ("messages", "delivered", "queued"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608 - ours
            assert "user-1@" not in str(rows)
    assert push(ledger, inbox).built == 0


def test_it_is_off_by_default_and_needs_a_topic_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCOUNTING_DESTINATIONS", '{"gpus": {"records": "accelerators"}}')
    with pytest.raises(SettingsError, match="ams_topic of their own"):
        load()
    given = '{"gpus": {"records": "accelerators", "ams_topic": "gpu-accounting"}}'
    monkeypatch.setenv("ACCOUNTING_DESTINATIONS", given)
    assert outlet_of(place_of(load(), "gpus")).kind.value == "accelerators"
    assert outlet_of(place_of(load())).kind.value == "records"
