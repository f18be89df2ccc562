"""From claims to names and groups."""

import asyncio
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from hub.authenticator import EGICheckinAuthenticator, EOSCNodeAuthenticator
from hub.migration.names import OLD_SETTINGS
from hub.oidc.claims import groups, is_service, primary_group, username
from hub.oidc.errors import Refused

VO = "urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"
TRAINING = "urn:mace:egi.eu:group:training.example.org#aai.egi.eu"
NAMING: dict[str, Any] = {
    "claim": "preferred_username",
    "service_claim": "client_id",
    "service_prefix": "service-account-",
    "anonymous_prefix": None,
    "issuer": "https://aai.example.org",
}


def test_a_name_is_taken_as_it_is() -> None:
    for name in ("alice", "x" * 100, "ilse@example.org", "žofie"):
        assert username({"preferred_username": name, "sub": "1"}, **NAMING) == name


def test_a_client_id_beside_a_user_is_not_a_name() -> None:
    with pytest.raises(Refused, match="gave no 'preferred_username'"):
        username({"sub": "a-user", "client_id": "notebooks", "active": True}, **NAMING)


def test_a_program_for_itself_is_named_after_its_client() -> None:
    for claims in ({"client_id": "robot"}, {"client_id": "robot", "sub": "robot"}):
        assert is_service(claims)
        assert username(claims, **NAMING) == "service-account-robot"
    assert not is_service({"sub": "robot"})


def test_an_anonymous_name_depends_on_issuer_and_subject_only() -> None:
    naming = {**NAMING, "anonymous_prefix": "anonymous-"}
    name = username({"sub": "1", "iat": 1, "exp": 2}, **naming)
    assert name == username({"sub": "1", "iat": 3, "exp": 4, "email": "a@b"}, **naming)
    assert name != username({"sub": "2"}, **naming)
    assert name != username({"sub": "1"}, **{**naming, "issuer": "https://other.example.org"})
    assert name.startswith("anonymous-")
    with pytest.raises(Refused):
        username({}, **naming)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, ()),
        ({"entitlements": VO}, (VO,)),
        ({"entitlements": [VO, TRAINING, VO]}, (VO, TRAINING)),
        ({"entitlements": [TRAINING], "eduperson_entitlement": [VO]}, (TRAINING, VO)),
        ({"entitlements": [7, None, {"a": 1}, "", VO]}, (VO,)),
        ({"entitlements": {"a": 1}, "eduperson_entitlement": None}, ()),
    ],
)
def test_groups_are_texts_in_the_providers_order(
    claims: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert groups(claims, ["entitlements", "eduperson_entitlement"]) == expected


def test_the_primary_group_is_the_first_by_priority() -> None:
    assert primary_group([TRAINING, VO], [VO, TRAINING]) == VO
    assert primary_group([TRAINING], [VO, TRAINING]) == TRAINING
    assert primary_group(["other"], [VO, TRAINING]) is None
    assert primary_group([], [VO]) is None


def test_a_pattern_matches_a_whole_group_and_may_capture_its_name() -> None:
    assert primary_group(["a", "vo.example.org"], [r"vo\..*"]) == "vo.example.org"
    assert primary_group(["not.vo.example.org"], [r"vo\..*"]) is None
    assert primary_group(["x:group:pp-1"], [r"x:group:(pp-.*)"]) == "pp-1"


def test_without_priorities_only_a_single_allowed_group_is_the_primary_one() -> None:
    assert primary_group(["other", VO], [], {VO, TRAINING}) == VO
    assert primary_group([TRAINING, VO], [], {VO, TRAINING}) is None
    assert primary_group([VO], []) is None


@pytest.mark.parametrize(
    ("entitlements", "expected"),
    [
        (["urn:geant:x:res:y", "urn:geant:eosc:group:pp-abc"], "pp-abc"),
        (["urn:geant:eosc:group:pp-2", "urn:geant:eosc:group:pp-1"], "pp-2"),
        (["urn:geant:eosc:group:other", "urn:geant:a:b:group:pp-1"], None),
    ],
)
def test_in_the_eosc_node_it_is_the_first_personal_or_project_group(
    entitlements: list[str], expected: str | None
) -> None:
    user_info = {"sub": "1", "entitlements": entitlements}
    building = EOSCNodeAuthenticator(issuer="https://aai.example.org").build_auth_state_dict(
        {"access_token": "t"}, user_info
    )
    assert asyncio.run(building)["primary_group"] == expected


def test_check_in_is_found_by_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EGICheckinAuthenticator().issuer == "https://aai.egi.eu/auth/realms/egi"
    monkeypatch.setenv("EGICHECKIN_HOST", "aai-demo.egi.eu")
    assert EGICheckinAuthenticator().issuer == "https://aai-demo.egi.eu/auth/realms/egi"
    assert EGICheckinAuthenticator(scope=["profile"]).scope == ["openid", "profile"]


def test_of_several_allowed_groups_the_provider_s_first_is_taken_where_it_is_so_configured() -> (
    None
):
    allowed = {VO, TRAINING}
    assert primary_group(["other", TRAINING, VO], [], allowed, in_order=True) == TRAINING
    assert primary_group(["other"], [], allowed, in_order=True) is None
    assert primary_group([TRAINING, VO], [VO], allowed, in_order=True) == VO


def test_the_eosc_node_s_issuer_must_be_set() -> None:
    with pytest.raises(TraitError, match=r"c\.EOSCNodeAuthenticator\.issuer is not set"):
        EOSCNodeAuthenticator()


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("openid_configuration_url", "set issuer"),
        ("use_oidc_discovery", "leave it out"),
        ("auth_refresh_leeway", "write token_margin_seconds"),
        ("anonymous_username_prefix", "write anonymous_prefix"),
    ],
)
def test_an_old_setting_stops_the_hub_with_the_new_name(name: str, cure: str) -> None:
    for section in ("EGICheckinAuthenticator", "GenericOAuthenticator", "Authenticator"):
        with pytest.raises(TraitError, match=rf"{section}\.{name} is not a setting .*: {cure}"):
            EGICheckinAuthenticator(config=Config({section: {name: "x"}}))


def test_the_eosc_node_s_old_expression_stops_the_hub_too() -> None:
    settings = {"personal_project_re": "^pp-.*$", "issuer": "https://node.example.org"}
    with pytest.raises(TraitError, match="write it into primary_group_priority, a list"):
        EOSCNodeAuthenticator(config=Config({"EOSCNodeAuthenticator": settings}))


def test_the_migration_knows_every_setting_that_stops_the_hub() -> None:
    assert set(EOSCNodeAuthenticator.renamed) == OLD_SETTINGS
