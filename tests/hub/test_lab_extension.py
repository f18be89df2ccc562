"""The image's JupyterLab extension: buttons for sharing a server and for one's access token."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser import NewPage, screenshots
from tests.hub.checkin import VO, Setup, Site
from tests.hub.process import wait_for
from tests.hub.rig import PROGRAMS, ROOT
from tests.hub.visitor import Visitor

EXTENSION = ROOT / "images" / "single-user" / "labextension"
CONFIG = """
c.Authenticator.auth_refresh_age = 300
c.JupyterHub.spawner_class = "tests.hub.keptport.KeptPortSpawner"
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/home/{{username}}"
c.Spawner.options_form = ""
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.args = ["--allow-root", "--LabApp.expose_app_in_browser=True"]
c.Spawner.default_url = "/lab"
c.Spawner.environment = {{"JUPYTER_PATH": {folder!r}, "PATH": {path!r}}}
"""


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "labextensions").mkdir()
    (folder / "labextensions" / "egi-sharing").symlink_to(EXTENSION)
    singleuser = f"{PROGRAMS}/jupyterhub-singleuser"
    config = CONFIG.format(folder=str(folder), singleuser=singleuser, path=PROGRAMS)
    return Setup(config, ("checkin", "sharing"))


def logged_in(page: Page, site: Site, name: str) -> None:
    """Let the browser have the cookies of somebody's login."""
    site.provider.user(name, entitlements=[VO])
    with Visitor(site.hub) as visitor:
        visitor.login(name)
        cookies = [(c.name, c.value or "", c.path) for c in visitor.cookies.jar if c.domain]
    page.context.add_cookies(
        [{"name": n, "value": v, "domain": "127.0.0.1", "path": p} for n, v, p in cookies]
    )


def test_a_server_is_shared_and_its_token_copied_by_buttons(site: Site, new_page: NewPage) -> None:
    owner, guest = new_page(), new_page()
    logged_in(owner, site, "rosa")
    logged_in(guest, site, "gustav")
    site.hub.start_server("rosa")
    owner.goto(f"{site.hub.url}user/rosa/lab")
    owner.get_by_role("button", name="Share", exact=True).click()
    dialog = owner.get_by_role("dialog")
    expect(dialog).to_contain_text("works in this server as you")
    dialog.get_by_role("button", name="Make a link").click()
    link = owner.get_by_label("The link").input_value()
    screenshots(owner, "lab-share")
    dialog.get_by_role("button", name="Close").click()
    guest.goto(link)
    guest.get_by_role("button", name="Accept invitation").click()
    # Somebody else's server asks first who looks: JupyterHub's own page of consent.
    guest.get_by_role("button", name="Authorize").click()
    guest.wait_for_url("**/user/rosa/**")
    guest.locator("#jp-main-dock-panel").wait_for()
    assert guest.get_by_role("button", name="Share", exact=True).count() == 0
    # A server that others see gets no token, and the page says so.
    owner.get_by_role("button", name="Token", exact=True).click()
    expect(dialog).to_contain_text("This server is shared, so it gets no token")
    dialog.get_by_role("button").first.click()
    owner.evaluate("jupyterapp.commands.execute('egi-sharing:unshare'), 0")
    dialog.get_by_role("button", name="Stop sharing").click()

    def is_closed() -> bool:
        kinds = ("shares", "share-codes")
        return not any(site.hub.api("GET", f"/{k}/rosa/").json()["items"] for k in kinds)

    wait_for(is_closed, "the end of sharing")
    owner.get_by_role("button", name="Token", exact=True).click()
    token = owner.get_by_label("Your access token").input_value()
    assert token == site.hub.user("rosa")["auth_state"]["access_token"]
    dialog.get_by_role("button", name="Close").click()
    site.hub.stop_server("rosa")
