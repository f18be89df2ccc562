"""Which profiles are open to whom."""

from typing import Any

import pytest
from tornado.web import HTTPError
from traitlets import TraitError

from tests.hub.pods import PROFILES, Users, spawner_of, with_users
from tests.kubernetes.standin import KubernetesStandin


def test_the_form_offers_what_is_open_to_the_user_now(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> list[str]:
        user = await users.user("alice")
        spawner = spawner_of(user)
        forms = [await spawner.get_options_form()]
        await users.user("alice", ["urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"])
        return [*forms, await spawner.get_options_form()]

    before, after = with_users(cluster, work, profile_list=PROFILES)
    assert ("Small" in before, "Big" in before) == (True, False)
    assert ("Small" in after, "Big" in after) == (True, True)


IMAGES = {"image": {"display_name": "Image", "choices": {"one": {"display_name": "One"}}}}
CHOICE = [{"display_name": "Choice", "slug": "choice", "profile_options": IMAGES}]


@pytest.mark.parametrize(
    ("options", "profiles", "status", "says"),
    [
        ({"profile": "big"}, PROFILES, 403, "'big' is not open to you. Choose one of: small."),
        ({"profile": "none"}, PROFILES, 403, "Choose one of: small."),
        ({}, PROFILES[1:], 403, "None of this service's environments is open to you"),
        ({"profile": "choice", "image": "deleted"}, CHOICE, 400, "Choose again."),
    ],
    ids=["not open", "unknown", "nothing open", "unknown choice"],
)
def test_a_choice_that_is_not_the_users_to_make_is_refused_with_a_message(
    cluster: KubernetesStandin,
    options: dict[str, str],
    profiles: list[dict[str, Any]],
    status: int,
    says: str,
) -> None:
    """Trap 10."""

    async def work(users: Users) -> None:
        await spawner_of(await users.user("alice"), **options).start()

    with pytest.raises(HTTPError) as caught:
        with_users(cluster, work, profile_list=profiles)
    assert caught.value.status_code == status
    assert says in caught.value.jupyterhub_message  # type: ignore[attr-defined]
    assert cluster.all("pods") == []


def test_a_source_of_entitlements_without_an_authority_stops_the_hub(
    cluster: KubernetesStandin,
) -> None:
    async def work(users: Users) -> None:
        spawner_of(await users.user("alice"))

    with pytest.raises(TraitError, match="has no authority: write NAMESPACE#"):
        with_users(cluster, work, entitlement_sources=["urn:mace:egi.eu"])
