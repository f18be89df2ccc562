"""The hub's pages in the EGI look: in both themes, on all widths, and for everyone."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from tests.browser import NewPage, check_accessible, check_fits, screenshots
from tests.hub.cloud import PODS, fragments
from tests.hub.rig import DUMMY_LOGIN, Hub, run_hub
from tests.hub.visitor import Visitor
from tests.kubernetes.standin import KubernetesStandin

# With auto_login, JupyterHub shows a page after logging out.
CONFIG = DUMMY_LOGIN + "\nc.Authenticator.auto_login = True\n"
Show = Callable[[Page, Hub], None]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path_factory.mktemp("cluster"), pending_seconds=3600) as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: KubernetesStandin) -> Iterator[Hub]:
    config = fragments("spawner", "pages") + CONFIG + PODS
    environment = {"KUBECONFIG": str(cluster.kubeconfig)}
    folder = tmp_path_factory.mktemp("hub")
    with run_hub(folder, config, environment=environment) as running:
        yield running


def user_of(page: Page) -> str:
    return str(page.evaluate("window.jhdata.user"))


@pytest.fixture
def member(hub: Hub, new_page: NewPage, request: pytest.FixtureRequest) -> Page:
    """A page of somebody who is logged in, in each test somebody else."""
    page = new_page(reduced_motion="reduce")  # no colour is measured on its way to another
    name = "user-" + re.sub(r"\W", "", request.node.callspec.id)
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
    page.goto(f"{hub.url}hub/spawn?opt-profile=large")
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


def tokens(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/token")
    page.get_by_role("button", name="Request new API token").wait_for()


def logout(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}hub/logout")
    page.get_by_role("heading", name="You are logged out").wait_for()


@pytest.mark.parametrize(
    "show", [home, spawn, refused, not_running, missing, tokens, pending, logout]
)
def test_a_page_is_for_everyone_on_everything(member: Page, hub: Hub, show: Show) -> None:
    show(member, hub)
    check_fits(member)
    check_accessible(member)
    screenshots(member, f"hub-{show.__name__}")
    assert member.title().endswith("EGI Notebooks")
    assert member.locator("main").count() == member.locator("h1").count() == 1
