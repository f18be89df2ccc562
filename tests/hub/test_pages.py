"""The hub's pages in the EGI look: in both themes, on all widths, and for everyone."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from hub import pages
from tests.browser import NewPage, check_accessible, check_fits, screenshots
from tests.hub.cloud import PODS, fragments
from tests.hub.rig import DUMMY_LOGIN, PYTHONS, Hub, run_hub
from tests.hub.visitor import Visitor
from tests.kubernetes.standin import KubernetesStandin

# With auto_login, JupyterHub shows a page after logging out.
CONFIG = DUMMY_LOGIN + "\nc.Authenticator.auto_login = True\n"
Show = Callable[[Page, Hub], None]
LOOKS = {"6": "egi", "5.5": "eosc"}
"""Each JupyterHub shows one of the looks."""
EXTRA = """
c.Authenticator.admin_users = {"user-administration"}
c.JupyterHub.load_roles.append({"name": "user", "scopes": ["self", "shares!user"]})
from jupyterhub.handlers.base import BaseHandler
from tornado import web

class Ended(BaseHandler):
    def get(self):
        raise web.HTTPError(401)

c.JupyterHub.extra_handlers = [("/ended", Ended)]
"""
"""An administrator, users who share, and a page that asks for a login by its status."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path_factory.mktemp("cluster"), pending_seconds=3600) as running:
        yield running


@pytest.fixture(scope="module")
def hub(
    jupyterhub: str, tmp_path_factory: pytest.TempPathFactory, cluster: KubernetesStandin
) -> Iterator[Hub]:
    shown = fragments("spawner", "pages").replace('LOOK = "egi"', f"LOOK = {LOOKS[jupyterhub]!r}")
    config = shown + CONFIG + PODS + EXTRA
    environment = {"KUBECONFIG": str(cluster.kubeconfig)}
    folder = tmp_path_factory.mktemp("hub")
    with run_hub(folder, config, python=PYTHONS[jupyterhub], environment=environment) as running:
        yield running


def user_of(page: Page) -> str:
    return str(page.evaluate("window.jhdata.user"))


@pytest.fixture
def member(hub: Hub, new_page: NewPage, request: pytest.FixtureRequest) -> Page:
    """A page of somebody who is logged in, in each test somebody else."""
    page = new_page(reduced_motion="reduce")  # no colour is measured on its way to another
    name = f"user-{request.node.callspec.params['show'].__name__}"
    with Visitor(hub) as visitor:
        visitor.get("hub/logout")  # any page, for its _xsrf
        data = {"username": name, "password": "password-of-the-tests", "_xsrf": visitor.xsrf()}
        visitor.post("hub/login", data=data, follow_redirects=False)
        page.context.add_cookies(
            [
                {"name": c.name, "value": c.value or "", "domain": "127.0.0.1", "path": c.path}
                for c in visitor.cookies.jar
            ]
        )
    return page


def home(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/home")
    page.get_by_role("button", name="Start My Server").wait_for()


def spawn(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/spawn")
    page.get_by_role("heading", name="Choose an environment").wait_for()
    assert page.get_by_role("radio", name="Small").is_checked()
    assert page.get_by_role("radio", name="Large").count() == 0  # another VO's


def refused(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/spawn?profile=large&opt-profile=large")
    page.get_by_text("The environment 'large' is not open to you. Choose one of: small.").wait_for()
    assert page.get_by_role("radio", name="Small").is_checked()


def pending(page: Page, hub: Hub) -> None:
    spawn(page, hub)
    page.get_by_role("button", name="Start").click()
    page.get_by_role("heading", name="Your server is starting").wait_for()


def not_running(page: Page, hub: Hub) -> None:
    home(page, hub)
    page.goto(f"{hub.url}user/{user_of(page)}/lab")
    page.get_by_role("heading", name="Your server is not running").wait_for()


def missing(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/nowhere")
    page.get_by_role("link", name="ask the support").wait_for()


def refused_page(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/admin")
    page.get_by_role("heading", name="Not allowed").wait_for()
    page.get_by_text("see with your virtual organisation that you are a member").wait_for()


def ended(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/ended")
    page.get_by_role("heading", name="Sign in first").wait_for()
    page.get_by_role("link", name="Sign in").wait_for()


def administration(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/admin")
    page.get_by_role("button", name="Add Users").wait_for()


def invitation(page: Page, hub: Hub) -> None:
    hub.add_user("owner")
    answer = hub.api("POST", "/share-codes/owner/", json={}).raise_for_status()
    page.goto(f"{hub.url}hub/accept-share?code={answer.json()['code']}")
    page.get_by_role("button", name="Accept invitation").wait_for()


def tokens(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/token")
    page.get_by_role("button", name="Request new API token").wait_for()


def logout(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/logout")
    page.get_by_role("heading", name="You are logged out").wait_for()


@pytest.mark.parametrize(
    "show",
    [
        home,
        spawn,
        refused,
        refused_page,
        ended,
        not_running,
        missing,
        tokens,
        administration,
        invitation,
        pending,
        logout,
    ],
)
def test_a_page_is_for_everyone_on_everything(
    member: Page, hub: Hub, show: Show, jupyterhub: str
) -> None:
    show(member, hub)
    check_fits(member)
    check_accessible(member)
    screenshots(member, f"hub-{LOOKS[jupyterhub]}-{show.__name__}")
    assert member.title().endswith("EGI Notebooks")
    assert member.locator("main").count() == member.locator("h1").count() == 1


def test_an_unknown_look_stops_the_hub_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="no look 'eosk': set egi_look to one of egi, eosc"):
        pages.logo("eosk")
