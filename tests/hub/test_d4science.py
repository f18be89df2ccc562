"""Login by D4Science: two tickets, the information system, and each visitor's own context."""

from collections.abc import Iterator
from urllib.parse import quote_plus

import pytest

from tests.hub.checkin import CLIENT, Setup, Site
from tests.hub.process import wait_for
from tests.hub.provider import CLIENT_SECRET, Provider
from tests.hub.test_information_system import XML
from tests.hub.visitor import Visitor

LAB = "/example.org/Research/Lab"
SEA = "/example.org/Research/Deep Sea"
CONFIG = f"""
c.D4ScienceAuthenticator.client_id = {CLIENT!r}
c.D4ScienceAuthenticator.client_secret = {CLIENT_SECRET!r}
c.D4ScienceAuthenticator.provider_absence_seconds = 1
"""


@pytest.fixture(scope="module")
def setup(provider: Provider) -> Setup:
    provider.document("/registry", XML.decode())
    provider.ticket(CLIENT, authorization={"permissions": [{"rsname": "small"}]})
    for context, role in ((LAB, "Data-Manager"), (SEA, "Member")):
        audience = quote_plus(context)
        provider.ticket(audience, resource_access={audience: {"roles": [role]}})
    config = CONFIG + (
        f"c.D4ScienceAuthenticator.information_system_url = 'http://{provider.host}/registry'\n"
    )
    return Setup(config, ("d4science",), "D4ScienceAuthenticator")


@pytest.fixture(autouse=True)
def _tickets_again(provider: Provider) -> Iterator[None]:
    yield
    provider.ticket(CLIENT, authorization={"permissions": [{"rsname": "small"}]})


def login_path(context: str) -> str:
    return f"hub/oauth_login?context={quote_plus(context)}&namespace=ns&label=a+label"


def test_a_visitor_gets_what_the_environment_offers(site: Site) -> None:
    site.provider.user("lena")
    with Visitor(site.hub) as visitor:
        page = visitor.login("lena", path=login_path(LAB))
        assert page.url.path.startswith("/hub/spawn")
    state = site.hub.user("lena")["auth_state"]
    assert state["context"] == LAB
    assert state["context_token"]
    assert [profile["slug"] for profile in state["profiles"]] == ["small"]
    assert state["volumes"] == {"Shared": True, "Data": True, "Silent": True}
    assert (state["namespace"], state["label"]) == ("ns", "a label")


def test_two_visitors_at_once_keep_their_own_contexts(site: Site) -> None:
    site.provider.user("mona")
    site.provider.user("nils")
    with Visitor(site.hub) as first, Visitor(site.hub) as second:
        first.get(login_path(LAB))  # both are on their way to the provider now
        second.get(login_path(SEA))
        first.finish_login("mona")
        second.finish_login("nils")
    assert site.hub.user("mona")["auth_state"]["context"] == LAB
    assert site.hub.user("nils")["auth_state"]["context"] == SEA
    assert site.hub.user("nils")["auth_state"]["volumes"]["Data"] is False


@pytest.mark.parametrize("context", ["", "no-slash", "/", "/unknown/vre"])
def test_without_a_ticket_for_the_context_nobody_comes_in(site: Site, context: str) -> None:
    site.provider.user("olaf")
    with Visitor(site.hub) as visitor:
        assert visitor.login("olaf", path=login_path(context)).status_code == 403
    assert site.hub.api("GET", "/users/olaf").status_code == 404


def test_permissions_follow_at_the_next_refresh(site: Site) -> None:
    site.provider.user("petra")
    with Visitor(site.hub) as visitor:
        visitor.login("petra", path=login_path(LAB))
        site.provider.ticket(CLIENT, authorization={"permissions": [{"rsname": "large"}]})

        def slugs() -> list[str]:
            visitor.get("hub/spawn")
            profiles = site.hub.user("petra")["auth_state"]["profiles"]
            return [profile["slug"] for profile in profiles]

        wait_for(lambda: slugs() == ["large"], "the other profile")
    assert site.hub.user("petra")["auth_state"]["label"] == "a label"


def test_a_provider_that_is_away_for_longer_than_configured_means_a_login(site: Site) -> None:
    site.provider.user("rita")
    with Visitor(site.hub) as visitor:
        visitor.login("rita", path=login_path(LAB))
        site.hub.start_server("rita")
        site.provider.set(mode="broken")

        def must_log_in() -> bool:
            page = visitor.get("hub/home", follow_redirects=False)
            return page.status_code == 302 and "/hub/login" in page.headers["Location"]

        wait_for(must_log_in, "the login page")
    assert site.hub.user("rita")["servers"][""]["ready"]  # it runs on all the same
    site.hub.stop_server("rita")


def test_a_ticket_for_somebody_else_is_refused(site: Site) -> None:
    site.provider.user("quinn")
    site.provider.ticket(CLIENT, aud="another", authorization={"permissions": []})
    with Visitor(site.hub) as visitor:
        assert visitor.login("quinn", path=login_path(LAB)).status_code == 403
