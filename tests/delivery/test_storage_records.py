"""StAR storage records: of each home volume and day, as the receiver takes them."""

from collections.abc import Sequence

import pytest
from sqlalchemy import select

from accounting.config import load
from accounting.delivery import pusher
from accounting.delivery.differences import Chosen, Kind
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.storage import Storage
from accounting.delivery.recomputed import Recomputed
from accounting.errors import AccountingError, SettingsError
from accounting.model.time import Month
from accounting.model.volumes import DAY_SECONDS, Volume, Withheld
from accounting.records.formats import star
from accounting.records.identity import Privacy, VoRules
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user, expire_users
from accounting.store.tables import volumes
from accounting.store.volumes import volume_of, write_volumes
from accounting.wiring.destinations import place_of
from accounting.wiring.places import outlet_of
from tests.delivery.books import NOVEMBER, SITE, Inbox, account, write
from tests.delivery.receivers import star_records
from tests.delivery.volumes import DAY, home, homes, over, seen

POLICY = pusher.Policy(close_after_seconds=2 * 86400.0, at_once=True, settle_seconds=0)
ADDRESS = "inbox://example.org#storage"
USER = "user-1@example.org"


def push(database: Database, inbox: Inbox, at: float = NOVEMBER.end - 60.0) -> pusher.Report:
    return pusher.Pusher(Outbox(database, Storage()), inbox, POLICY, now=lambda: at).push()


def held(inbox: Inbox) -> dict[str, dict[str, str]]:
    """What the receiver holds, by the records' ids."""
    found: dict[str, dict[str, str]] = {}
    for body in inbox.bodies:
        assert body.isascii()
        found |= star_records(body)
    return found


def test_a_day_goes_out_once_it_is_over_and_says_what_was_in_the_volume(ledger: Database) -> None:
    homes(ledger, [seen(1)], watermark=(DAY + 1) * DAY_SECONDS - 60)
    inbox = Inbox()
    assert push(ledger, inbox).built == 0
    over(ledger, DAY)
    assert push(ledger, inbox).records == 1
    ((uid, one),) = held(inbox).items()
    assert one == {
        "createTime": "2026-11-11T00:00:00Z",
        "StorageSystem": "EXAMPLE-SITE",
        "Site": "EXAMPLE-SITE",
        "StorageShare": "home",
        "StorageMedia": "disk",
        "LocalUser": "claim-1",
        "UserIdentity": USER,
        "Group": "vo.example.org",
        "StartTime": "2026-11-10T00:00:00Z",
        "EndTime": "2026-11-11T00:00:00Z",
        "ResourceCapacityUsed": str(10**9),
        "ResourceCapacityAllocated": str(20 * 2**30),
    }
    assert uid == star.record_id(SITE.name, SITE.name, "hub", "claim-1", DAY)
    assert push(ledger, inbox).built == 0


def test_each_day_has_an_id_of_its_own_and_a_correction_the_day_s(ledger: Database) -> None:
    homes(ledger, [seen(1), seen(1, day=DAY + 1, used=2 * 10**9)])
    inbox = Inbox()
    over(ledger, DAY + 1)
    push(ledger, inbox)
    assert len(held(inbox)) == 2
    homes(ledger, [seen(1, used=5 * 10**9)])
    assert push(ledger, inbox).records == 1
    used = {
        one["StartTime"][8:10]: int(one["ResourceCapacityUsed"]) for one in held(inbox).values()
    }
    assert used == {"10": 5 * 10**9, "11": 2 * 10**9}


def test_the_ids_never_change() -> None:
    made = star.record_id("EXAMPLE-SITE", "notebooks.example.org", "hub", "claim-1", 20767)
    assert made == "a204a60f-1e76-5f83-976d-abfca84b50a7"


def test_what_is_shared_or_has_no_vo_stays_here_and_does_not_hold_up_others(
    ledger: Database,
) -> None:
    shared = home(seen(2))._replace(held=Withheld.SHARED, owner="", user="")
    unmapped = home(seen(3))._replace(held=Withheld.UNMAPPED, vo="")
    write_rows(ledger, [shared, unmapped])
    homes(ledger, [seen(1)])
    over(ledger, DAY)
    inbox = Inbox()
    assert push(ledger, inbox).records == 1
    assert [one["LocalUser"] for one in held(inbox).values()] == ["claim-1"]


def write_rows(database: Database, rows: Sequence[Volume]) -> None:
    with database.begin() as connection:
        write_volumes(connection, database, rows)


@pytest.mark.parametrize(
    "user", ['Žofia <&> "ñ"@example.org', "line\nbreak\x00\x85@example.org", "用户]]>\ufffe%%"]
)
def test_any_name_makes_a_body_of_ascii_that_is_xml_and_reads_back(user: str) -> None:
    volume = home(seen(1)._replace(user=user))
    body = star.body([star.text(volume), star.text(home(seen(2)))])
    assert body.isascii()
    told = star_records(body)[volume.uid]
    assert star.parsed(star.text(volume))["UserIdentity"] == told["UserIdentity"]
    assert star.texts(body) == [star.text(volume), star.text(home(seen(2)))]
    assert star.digest(star.texts(body)[0]) == volume.digest


def test_a_value_that_the_receiver_would_refuse_holds_its_record() -> None:
    volume = home(seen(1)._replace(user="x" * 256))
    assert (volume.held, volume.problem) == (
        Withheld.INVALID,
        "UserIdentity has more than 255 characters",
    )


@pytest.mark.parametrize("policy", [Privacy.WITHHOLD, Privacy.PSEUDONYM])
def test_a_claim_s_name_goes_out_only_where_its_user_does(policy: Privacy) -> None:
    rules = VoRules(default="vo.example.org", privacy={".*": policy}, pseudonym_key=b"k" * 16)
    said = star.text(home(seen(1), rules=rules))
    assert "claim-1" not in said
    assert "user-1@" not in said


def test_a_correction_of_a_closed_month_waits_for_republish(ledger: Database) -> None:
    homes(ledger, [seen(1)])
    over(ledger, DAY)
    inbox = Inbox()
    closed = NOVEMBER.end + 3 * 86400.0
    push(ledger, inbox, closed)
    homes(ledger, [seen(1, used=2 * 10**9)])
    assert push(ledger, inbox, closed).built == 0
    outbox = Outbox(ledger, Storage())
    assert outbox.differing_count(Month.of(closed - 2 * 86400), ADDRESS) == 1
    receiver = Recomputed(ledger, ADDRESS, Storage())
    (found,) = receiver.differences(Chosen(NOVEMBER, vo="vo.example.org", user=USER))
    assert found.kind is Kind.CHANGED
    assert found.changes == {"ResourceCapacityUsed": (str(10**9), str(2 * 10**9))}
    assert receiver.republish(Chosen(NOVEMBER)) == 1
    assert push(ledger, inbox, closed).records == 1
    assert push(ledger, inbox, closed).built == 0


def test_an_erased_user_is_named_nowhere_and_nothing_is_sent_again(ledger: Database) -> None:
    homes(ledger, [seen(1), seen(2)])
    over(ledger, DAY)
    inbox = Inbox()
    push(ledger, inbox)
    erase_user(ledger, USER)
    with ledger.begin(reading=True) as connection:
        for table in ("messages", "delivered", "queued", "volumes"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608 - ours
            assert "user-1@" not in str(rows)
            assert "claim-1" not in str(rows)
    assert push(ledger, inbox).built == 0
    assert {row.used_bytes for row in rows_of(ledger)} == {10**9}


def test_a_user_is_not_erased_while_a_message_names_them(ledger: Database) -> None:
    homes(ledger, [seen(1)])
    over(ledger, DAY)

    def broken() -> None:
        raise OSError

    push(ledger, Inbox(before=broken))
    with pytest.raises(AccountingError, match="not delivered yet"):
        erase_user(ledger, USER)


def test_owners_of_days_that_are_older_than_the_retention_are_erased(ledger: Database) -> None:
    write(ledger, [account(9)])
    homes(ledger, [seen(1), seen(1, day=DAY + 9)])
    over(ledger, DAY + 9)
    expire_users(ledger, (DAY + 5) * DAY_SECONDS)
    assert sorted(row.owner for row in rows_of(ledger)) == ["erased", USER]


def rows_of(database: Database) -> Sequence[Volume]:
    with database.begin(reading=True) as connection:
        return [volume_of(row) for row in connection.execute(select(volumes))]


def test_it_is_off_by_default_and_has_the_topic_of_storage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not load().measures_storage
    monkeypatch.setenv("ACCOUNTING_DESTINATIONS", '{"homes": {"records": "storage"}}')
    place = place_of(load(), "homes")
    assert place.ssm.ams_topic == "eu-egi-storage-accounting"
    assert outlet_of(place).kind.value == "storage"
    assert load().measures_storage
    given = '{"homes": {"records": "storage", "ams_topic": "eu-egi-cloud-accounting"}}'
    monkeypatch.setenv("ACCOUNTING_DESTINATIONS", given)
    with pytest.raises(SettingsError, match="eu-egi-storage-accounting"):
        load()
