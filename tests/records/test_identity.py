"""Whose usage it is: entitlements, FQANs, maps; and what is said about users."""

import hashlib
import hmac

import pytest

from accounting.model.records import Vo
from accounting.records.identity import Privacy, VoRules, decide, shown_user

EGI = "urn:mace:egi.eu:group:"
AT = "#aai.egi.eu"

GROUPS = [
    ("1: an entitlement", f"{EGI}vo.example.org{AT}", "vo.example.org", "/vo.example.org"),
    (
        "2: with a role",
        f"{EGI}vo.example.org:role=vm_operator{AT}",
        "vo.example.org",
        "/vo.example.org/Role=vm_operator",
    ),
    (
        "3: with sub groups and a role",
        f"{EGI}climate:models:ocean:role=member{AT}",
        "climate",
        "/climate/models/ocean/Role=member",
    ),
    ("3a: after a blank", f" {EGI}vo.example.org{AT}", "vo.example.org", "/vo.example.org"),
    (
        "3b: a role of VOMS",
        f"{EGI}vo.example.org:role=NULL{AT}",
        "vo.example.org",
        "/vo.example.org",
    ),
    ("4: without an authority", f"{EGI}vo.example.org", "vo.example.org", "/vo.example.org"),
    (
        "5: percent-encoded",
        f"{EGI}vo.example.org:deep%20learning{AT}",
        "",  # a blank does not fit in an FQAN
        "",
    ),
    (
        "6: percent-encoded letters",
        f"{EGI}vo.example.org:n%C3%BAmeros:role=m%2Dember{AT}",
        "vo.example.org",
        "/vo.example.org/números/Role=m-ember",
    ),
    ("7: an encoded slash", f"{EGI}vo.example.org:a%2Fb{AT}", "", ""),
    (
        "8: another authority's namespace",
        "urn:geant:dariah.eu:group:lab:role=member#auth.dariah.eu",
        "lab",
        "/lab/Role=member",
    ),
]
OTHERS = [
    (
        "1: an FQAN",
        "/vo.example.org/sub/Role=x",
        "fqan",
        "vo.example.org",
        "/vo.example.org/sub/Role=x",
    ),
    (  # cases.md, 21
        "1a: an FQAN of VOMS without role and capability",
        "/vo.example.org/sub/Role=NULL/Capability=NULL",
        "fqan",
        "vo.example.org",
        "/vo.example.org/sub",
    ),
    (
        "1b: an FQAN of VOMS with a role",
        "/vo.example.org/Role=x/Capability=NULL",
        "fqan",
        "vo.example.org",
        "/vo.example.org/Role=x",
    ),
    ("1e: a role that is empty", "/v/g/Role=/Capability=NULL", "fqan", "v", "/v/g"),
    ("1c: a role that only begins so", "/v/Role=NULLS", "fqan", "v", "/v/Role=NULLS"),
    ("1d: an FQAN between blanks", " /v/Role=x\n", "fqan", "v", "/v/Role=x"),
    ("2: an FQAN of a VO alone", "/vo.example.org", "fqan", "vo.example.org", "/vo.example.org"),
    ("3: a plain name", "vo.example.org", "plain", "vo.example.org", "/vo.example.org"),
    ("4: a name with a dash", "eosc-synergy_1", "plain", "eosc-synergy_1", "/eosc-synergy_1"),
    ("5: a URN of another kind", "urn:mace:egi.eu:res:vo.example.org", "none", "", ""),
    ("6: several words", "vo one", "none", "", ""),
    ("7: an FQAN with an empty part", "/vo//x", "none", "", ""),
    ("8: several FQANs", "/a;/b", "none", "", ""),
    ("9: a trailing slash", "/vo/", "none", "", ""),
    ("10: a trailing line break", "vo.example.org\n", "plain", "vo.example.org", "/vo.example.org"),
    ("11: nothing", "", "none", "", ""),
    ("12: not a name", "-vo", "none", "", ""),
]


@pytest.mark.parametrize(("case", "group", "vo", "fqan"), GROUPS, ids=[c[0] for c in GROUPS])
def test_an_entitlement_names_its_vo(case: str, group: str, vo: str, fqan: str) -> None:
    rule = "entitlement" if vo else "none"
    assert decide(group, VoRules()) == Vo(vo, fqan, rule, group.strip()), case


@pytest.mark.parametrize(
    ("case", "group", "rule", "vo", "fqan"), OTHERS, ids=[c[0] for c in OTHERS]
)
def test_other_groups_name_their_vo_or_none(
    case: str, group: str, rule: str, vo: str, fqan: str
) -> None:
    assert decide(group, VoRules()) == Vo(vo, fqan, rule, group.strip()), case


@pytest.mark.parametrize("around", ["\ufeff", "\u200b", " \u2060\t"])
def test_what_cannot_be_seen_around_a_group_is_none_of_it(around: str) -> None:
    group = f"{EGI}vo.example.org{AT}"
    assert decide(f"{around}{group}{around}", VoRules()) == decide(group, VoRules())


MAPS = [
    (
        "1: exact",
        {"staff": "ops.example.org"},
        "staff",
        "ops.example.org",
        "/ops.example.org",
        "staff",
    ),
    ("2: to an FQAN", {"staff": "/ops/admins"}, "staff", "ops", "/ops/admins", "staff"),
    ("3: a pattern", {"dept-.*": "ops"}, "dept-42", "ops", "/ops", "dept-.*"),
    ("4: exact before patterns", {".*": "all", "staff": "ops"}, "staff", "ops", "/ops", "staff"),
    ("5: patterns in their order", {"a.*": "one", "ab.*": "two"}, "abc", "one", "/one", "a.*"),
    ("6: over an entitlement", {f"{EGI}x.*": "y"}, f"{EGI}x.org{AT}", "y", "/y", f"{EGI}x.*"),
    ("7: exact text that is no expression", {"a(b": "c"}, "a(b", "c", "/c", "a(b"),
]


@pytest.mark.parametrize(
    ("case", "overrides", "group", "vo", "fqan", "source"), MAPS, ids=[c[0] for c in MAPS]
)
def test_a_map_overrides(  # noqa: PLR0917 - the columns of the table
    case: str, overrides: dict[str, str], group: str, vo: str, fqan: str, source: str
) -> None:
    assert decide(group, VoRules(overrides=overrides)) == Vo(vo, fqan, "map", source), case


def test_a_pattern_must_fit_the_whole_group() -> None:
    assert decide("dept-42-x", VoRules(overrides={"dept-[0-9]+": "ops"})).rule == "plain"


def test_a_map_is_not_asked_about_pods_without_a_group() -> None:
    assert decide("", VoRules(overrides={".*": "ops"})) == Vo("", "", "none", "")


def test_a_pod_without_a_group_takes_the_default() -> None:
    rules = VoRules(default="default.example.org")
    vo = Vo("default.example.org", "/default.example.org", "default", "")
    assert decide("", rules) == vo


def test_what_cannot_be_mapped_waits_unless_the_default_is_to_stand_in() -> None:
    group = "a group of no kind"
    assert decide(group, VoRules(default="d")) == Vo("", "", "none", group)
    stand_in = VoRules(default="d", default_for_unmapped=True)
    assert decide(group, stand_in) == Vo("d", "/d", "default", group)


PSEUDONYM = hmac.new(b"key", b"me@example.org", hashlib.sha256).hexdigest()[:32]
USERS = [
    ("1: kept without a rule", {}, "me@example.org", "me@example.org"),
    ("2: another VO's rule", {"other": Privacy.WITHHOLD}, "me@example.org", "me@example.org"),
    ("3: withheld", {"vo": Privacy.WITHHOLD}, "me@example.org", ""),
    ("4: a pattern", {"v.*": Privacy.WITHHOLD}, "me@example.org", ""),
    ("5: the first rule that fits", {"vo": Privacy.KEEP, ".*": Privacy.WITHHOLD}, "me", "me"),
    ("6: a keyed hash", {"vo": Privacy.PSEUDONYM}, "me@example.org", PSEUDONYM),
    ("7: no user, no pseudonym", {"vo": Privacy.PSEUDONYM}, "", ""),
]


@pytest.mark.parametrize(("case", "privacy", "user", "shown"), USERS, ids=[c[0] for c in USERS])
def test_users_are_shown_as_their_vo_wants_it(
    case: str, privacy: dict[str, Privacy], user: str, shown: str
) -> None:
    rules = VoRules(privacy=privacy, pseudonym_key=b"key")
    assert shown_user(user, "vo", rules) == shown, case
