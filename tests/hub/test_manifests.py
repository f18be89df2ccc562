"""The pure functions over a pod's parts, their results compared whole."""

from typing import Any

import pytest

from hub.spawner.manifests import (
    Parts,
    with_additions,
    with_annotations,
    with_home,
    with_tokens,
    wrong_addition,
)
from hub.spawner.profiles import names_of, open_profiles

PATH = "/var/run/secrets/egi.eu/"
VOLUME = "secret-{userid}"
OWN = f"{VOLUME}-user"
SEEN = {"name": VOLUME, "mountPath": PATH, "readOnly": True}
SECRET = {"name": VOLUME, "secret": {"secretName": "access-token-7", "optional": True}}
EMPTY = {"name": OWN, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}
RCLONE = {"name": "rclone", "image": "example.org/rclone:1"}
VO = "urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"
SOURCES = ["urn:mace:egi.eu#aai.egi.eu"]
NAMES = names_of([VO], SOURCES)


def claim(name: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": name, "readOnly": False}}


def test_only_the_home_volume_is_rewritten() -> None:
    others = (claim("claim-70"), claim("claim-datasets"), {"name": "scratch", "emptyDir": {}})
    given = Parts(volumes=(claim("claim-7"), *others))
    home = {
        "name": "claim-7",
        "persistentVolumeClaim": {"claimName": "claim-alice", "readOnly": False},
    }
    assert with_home(given, "claim-alice", "claim-7".__eq__) == Parts(volumes=(home, *others))


def test_shown_tokens_are_mounted_read_only_into_the_notebook_and_into_side_cars() -> None:
    proxy = {"name": "proxy", "image": "example.org/proxy:1", "restartPolicy": "Always"}
    setup = {"name": "setup", "image": "example.org/setup:1"}
    given = Parts(extra_containers=(RCLONE,), init_containers=(proxy, setup))
    assert with_tokens(given, "access-token-7", VOLUME, PATH, shown=True) == Parts(
        volumes=(SECRET, {**SECRET, "name": OWN}),
        volume_mounts=({**SEEN, "name": OWN},),
        extra_containers=({**RCLONE, "volumeMounts": [SEEN]},),
        init_containers=({**proxy, "volumeMounts": [SEEN]}, setup),
        environment={"SECRETS_MOUNT_PATH": PATH, "SECRETS_VOLUME_MOUNTED": "1"},
    )


def test_hidden_tokens_leave_the_notebook_an_empty_folder_and_side_cars_their_tokens() -> None:
    given = Parts(extra_containers=(RCLONE,))
    assert with_tokens(given, "access-token-7", VOLUME, PATH, shown=False) == Parts(
        volumes=(SECRET, EMPTY),
        volume_mounts=({"name": OWN, "mountPath": PATH},),
        extra_containers=({**RCLONE, "volumeMounts": [SEEN]},),
        environment={"SECRETS_MOUNT_PATH": PATH, "SECRETS_VOLUME_MOUNTED": "0"},
    )


def test_hidden_tokens_are_not_in_the_pod_at_all_when_no_side_car_needs_them() -> None:
    assert with_tokens(Parts(), "access-token-7", VOLUME, PATH, shown=False).volumes == (EMPTY,)


def test_what_mounts_the_tokens_by_itself_stays_as_it_is() -> None:
    by_name = {**RCLONE, "volumeMounts": [{"name": VOLUME, "mountPath": "/tokens"}]}
    at_path = {**RCLONE, "volumeMounts": [{"name": "own", "mountPath": PATH.rstrip("/")}]}
    given = Parts(
        volumes=(SECRET, {"name": "home", "emptyDir": {}}),
        volume_mounts=({"name": OWN, "mountPath": PATH},),
        extra_containers=(by_name, at_path),
    )
    made = with_tokens(given, "access-token-7", VOLUME, PATH, shown=False)
    assert made.extra_containers == (by_name, at_path)
    assert made.volumes == ({"name": "home", "emptyDir": {}}, SECRET, EMPTY)
    assert made.volume_mounts == ({"name": OWN, "mountPath": PATH},)


def test_annotations_say_whose_pod_it_is_whatever_the_configuration_says() -> None:
    given = Parts(extra_annotations={"hub.jupyter.org/username": "operator", "note": "{username}"})
    assert with_annotations(given, "al{userid}ice", VO, "small").extra_annotations == {
        "hub.jupyter.org/username": "al{{userid}}ice",  # no template: it is what it is
        "note": "{username}",
        "egi.eu/primary_group": VO,
        "egi.eu/flavor": "small",
    }


def test_no_group_and_no_flavor_leave_no_annotation() -> None:
    assert with_annotations(Parts(), "alice", "", "").extra_annotations == {
        "hub.jupyter.org/username": "alice"
    }


def test_a_flavor_of_the_configuration_wins_over_the_profile() -> None:
    given = Parts(extra_annotations={"egi.eu/flavor": "gpu-a100"})
    assert with_annotations(given, "alice", "", "gpu").extra_annotations["egi.eu/flavor"] == (
        "gpu-a100"
    )


CVMFS = {"name": "cvmfs", "persistentVolumeClaim": {"claimName": "cvmfs"}}
ADDITIONS: list[dict[str, Any]] = [
    {"volumes": [CVMFS], "volume_mounts": [{"name": "cvmfs", "mountPath": "/cvmfs"}]},
    {"vo_claims": ["vo.example.org"], "environment": {"WEBDAV": "https://dav.example.org"}},
    {"vo_claims": ["other.example.org"], "environment": {"OTHER": "1"}},
    {"profiles": ["gpu"], "extra_containers": [RCLONE], "volumes": [CVMFS]},
    {"profiles": ["gpu"], "vo_claims": ["other.example.org"], "environment": {"BOTH": "1"}},
]


def test_additions_come_for_their_vo_and_their_profile_only() -> None:
    common: dict[str, Any] = {
        "volumes": (CVMFS,),
        "volume_mounts": ({"name": "cvmfs", "mountPath": "/cvmfs"},),
    }
    assert with_additions(Parts(), ADDITIONS, frozenset(), "small") == Parts(**common)
    dav = {"WEBDAV": "https://dav.example.org"}
    assert with_additions(Parts(), ADDITIONS, NAMES, "small") == Parts(**common, environment=dav)
    assert with_additions(Parts(), ADDITIONS, NAMES, "gpu") == Parts(
        **common, environment=dav, extra_containers=(RCLONE,)
    )


@pytest.mark.parametrize(
    ("addition", "wrong"),
    [
        ({"volume": []}, "unknown key 'volume': use environment, extra_annotations"),
        ({"volumes": {}}, "'volumes' is not a list"),
        ({"environment": []}, "'environment' is not a mapping"),
        ({"extra_containers": [{"image": "x"}]}, "an item of 'extra_containers' has no name"),
        (ADDITIONS[3], ""),
    ],
)
def test_a_wrong_addition_is_told_with_the_key(addition: dict[str, Any], wrong: str) -> None:
    found = wrong_addition(addition)
    assert found.startswith(wrong)
    assert bool(found) is bool(wrong)


def test_entitlements_count_for_their_vo_and_nothing_else() -> None:
    groups = [VO, "urn:mace:egi.eu:group:deep.example.org:sub:role=vm#aai.egi.eu", "plain"]
    assert names_of(groups, SOURCES) == {*groups, "vo.example.org", "deep.example.org"}


@pytest.mark.parametrize(
    "group",
    [
        "urn:mace:egi.eu:group:vo.example.org#aai.egi.eu",
        "URN:MACE:egi.eu:group:vo.example.org:role=member#AAI.egi.eu",
        "urn:mace:egi.eu:group:vo%2Eexample.org:sub%20group:role=member#aai.egi.eu",
        "urn:mace:egi.eu:group:vo.example.org:group:other.example.org#aai.egi.eu",
    ],
)
def test_one_entitlement_may_be_written_in_several_ways(group: str) -> None:
    """RFC 8141: the case of `urn` and the identifier after it; AARC-G069: percent-encoding."""
    assert names_of([group], SOURCES) == {group, "vo.example.org"}
    assert names_of([group], ["Urn:Mace:egi.eu#aai.EGI.eu"]) == {group, "vo.example.org"}


@pytest.mark.parametrize(
    "group",
    [
        "urn:mace:EGI.eu:group:vo.example.org#aai.egi.eu",
        "urn:mace:egi.eu:Group:vo.example.org#aai.egi.eu",
        "urn:mace:egi.eu%3Agroup:vo.example.org#aai.egi.eu",
        "urn:mace:egi.eu:group:vo.example.org%23aai.egi.eu",
        "urn:mace:egi.eu:res:vo.example.org#aai.egi.eu",
        "xurn:mace:egi.eu:group:vo.example.org#aai.egi.eu",
        "urn:anything:group:vo.example.org",
        "urn:anything:x:group:vo.example.org#aai.egi.eu",
        "urn:mace:egi.eu.evil.example.org:group:vo.example.org#aai.egi.eu",
        "urn:mace:evil.example.org:urn:mace:egi.eu:group:vo.example.org#aai.egi.eu",
        "urn:mace:egi.eu:group:vo.example.org#idp.example.org",
        "urn:mace:egi.eu:group:vo.example.org",
        "urn:mace:egi.eu:group:vo.example.org#aai.egi.eu#x",
    ],
)
def test_what_others_say_of_a_user_is_no_vo(group: str) -> None:
    assert names_of([group], SOURCES) == {group}


def test_the_sources_of_entitlements_may_have_stars() -> None:
    group = "urn:geant:node.example.org:group:pp-1"
    assert names_of([group], ["urn:geant:*#"]) == {group, "pp-1"}
    authority = "urn:mace:egi.eu:group:vo.example.org#idp.example.org#aai.egi.eu"
    assert names_of([authority], ["urn:*#aai.egi.eu"]) == {authority}


def test_profiles_without_claims_are_for_everyone_and_one_is_always_the_default() -> None:
    free: dict[str, Any] = {"slug": "free"}
    closed = {"slug": "closed", "vo_claims": ["vo.example.org"], "default": True}
    text = {"slug": "text", "vo_claims": "other.example.org"}  # a single text is one claim
    assert open_profiles([free, closed, text], NAMES) == [free, closed]
    assert open_profiles([free, closed, text], frozenset()) == [{**free, "default": True}]
    assert open_profiles([closed], frozenset()) == []
