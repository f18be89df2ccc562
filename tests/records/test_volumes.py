"""A volume's day, merged from what windows say: whose it is, and what is in it."""

import pytest

from accounting.model.volumes import (
    DAY_SECONDS,
    Measured,
    Mounter,
    Quality,
    Volume,
    VolumeSeen,
    Withheld,
)
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.records.volumes import adds_nothing, merged

SITE = Site("EXAMPLE-SITE", "notebooks.example.org")
RULES = VoRules(default="vo.example.org", excluded_users=frozenset({"monitor"}))
DAY = 20_400
NOON = DAY * DAY_SECONDS + 43_200
GIB = 2**30
ALICE, BOB = Mounter("alice", "/vo.example.org"), Mounter("bob", "/other.example.org")


def seen(at: int = NOON, used: int | None = None, **more: object) -> VolumeSeen:
    measured = None if used is None else Measured(at, used, Quality.FILESYSTEM)
    values = {"allocated_bytes": 10 * GIB, "measured": measured, **more}
    return VolumeSeen("hub", "claim-a", at // DAY_SECONDS, at, **values)  # type: ignore[arg-type]


def known(one: VolumeSeen, *before: Volume, group: str = "") -> Volume:
    made = merged(one, before, SITE, RULES, group)
    assert made is not None
    return made


def test_what_nobody_owns_is_no_home() -> None:
    assert merged(seen(used=5), [], SITE, RULES) is None
    assert merged(seen(used=5, user="monitor"), [], SITE, RULES) is None


def test_what_nothing_tells_of_counts_with_its_size_and_says_so() -> None:
    volume = known(seen(user="alice"))
    assert (volume.used_bytes, volume.quality, volume.measured_at) == (
        10 * GIB,
        Quality.ALLOCATED,
        None,
    )


def test_a_folder_without_a_size_has_its_measured_bytes_alone() -> None:
    measured = Measured(NOON, 7, Quality.DIRECTORY)
    volume = known(seen(allocated_bytes=None, measured=measured, mounters=(ALICE,)))
    assert (volume.used_bytes, volume.allocated_bytes) == (7, None)
    assert merged(seen(allocated_bytes=None, mounters=(ALICE,)), [], SITE, RULES) is None


def test_while_nothing_mounts_it_what_was_measured_last_stays_true() -> None:
    first = known(seen(used=5, user="alice"))
    later = known(seen(NOON + 3 * DAY_SECONDS, user="alice"), first)
    assert (later.used_bytes, later.quality, later.measured_at) == (5, Quality.FILESYSTEM, NOON)
    assert later.uid != first.uid


def test_a_claim_made_anew_under_the_same_name_begins_empty_handed() -> None:
    first = known(seen(used=5, user="alice"))
    made = known(seen(NOON + DAY_SECONDS, mounters=(BOB,), created_at=NOON + 600.0), first)
    assert (made.owner, made.quality) == ("bob", Quality.ALLOCATED)


def test_an_earlier_window_that_is_read_again_changes_nothing() -> None:
    early, late = seen(NOON - 3600, used=1, user="alice"), seen(used=2, user="alice")
    once = known(late, known(early))
    assert known(early, once) == once
    assert known(late, once) == once


def test_only_what_says_something_new_is_merged() -> None:
    row = known(seen(used=5, user="alice"))
    assert adds_nothing(seen(NOON + 60, user="alice"), [row])
    for new in (
        seen(NOON + 60, used=5, user="alice"),
        seen(NOON + 60, user="bob"),
        seen(NOON + 60, user="alice", allocated_bytes=20 * GIB),
        seen(NOON + 60, user="alice", created_at=1.0),
        seen(NOON + 60, user="alice", mounters=(ALICE,)),
        seen(NOON + DAY_SECONDS, user="alice"),
    ):
        assert not adds_nothing(new, [row])
    assert not adds_nothing(seen(NOON + 60, user="alice"), [])


def test_the_claim_says_whose_it_is_and_else_the_one_user_who_mounts_it() -> None:
    assert known(seen(user="alice", mounters=(BOB,))).owner == "alice"
    by_pod = known(seen(mounters=(ALICE,)))
    assert (by_pod.owner, by_pod.vo, by_pod.is_annotated) == ("alice", "vo.example.org", False)
    assert known(seen(NOON + DAY_SECONDS), by_pod).owner == "alice"
    assert known(seen(NOON + 60, user="carol"), by_pod).owner == "carol"


def test_what_several_users_mount_is_held_and_stays_so() -> None:
    shared = known(seen(mounters=(ALICE, BOB)))
    assert (shared.owner, shared.held) == ("", Withheld.SHARED)
    alone = known(seen(NOON + DAY_SECONDS, mounters=(ALICE,)), shared)
    assert alone.held is Withheld.SHARED
    one_by_one = known(seen(NOON + 60, mounters=(BOB,)), known(seen(mounters=(ALICE,))))
    assert one_by_one.held is Withheld.SHARED


def test_the_vo_follows_from_the_claim_else_the_notebook_else_what_the_ledger_knows() -> None:
    told = seen(user="alice", group="/claim.example.org", mounters=(ALICE,))
    assert known(told).vo == "claim.example.org"
    assert known(seen(user="alice", mounters=(ALICE, BOB))).vo == "vo.example.org"
    assert known(seen(user="alice"), group="/ledger.example.org").vo == "ledger.example.org"
    before = known(seen(user="bob", mounters=(BOB,)))
    assert known(seen(NOON + DAY_SECONDS, user="bob"), before).vo == "other.example.org"


@pytest.mark.parametrize("group", ["", "urn:nonsense"])
def test_without_a_vo_the_record_is_held(group: str) -> None:
    made = merged(seen(user="alice", group=group), [], SITE, VoRules())
    assert made is not None
    assert made.held is Withheld.UNMAPPED
    assert group in made.problem


def test_of_two_that_measure_at_once_the_file_system_wins() -> None:
    directory = seen(user="alice")._replace(measured=Measured(NOON, 9, Quality.DIRECTORY))
    assert known(seen(used=5, user="alice"), known(directory)).used_bytes == 5
    assert known(directory, known(seen(used=5, user="alice"))).used_bytes == 5
