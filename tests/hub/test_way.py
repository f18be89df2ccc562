"""The whole way: login, consent, profiles, spawn, notebook, fresh tokens, stop, the same home."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from hub import pages
from tests.browser import NewPage, check_accessible, check_fits, screenshots
from tests.hub.checkin import TRAINING, VO, Setup, Site
from tests.hub.cloud import PODS
from tests.hub.pods import tokens_in
from tests.hub.process import wait_for
from tests.hub.rig import ROOT
from tests.hub.visitor import Visitor
from tests.kubernetes.standin import KubernetesStandin

MINE = """
c.JupyterHub.template_paths.insert(0, {folder!r})
c.JupyterHub.logo_file = {folder!r} + "/logo.svg"
c.EGICheckinAuthenticator.token_margin_seconds = 60
c.EGICheckinAuthenticator.login_service = "EGI Check-in"
c.EGISpawner.profile_list.append(
    {{"display_name": "Tiny", "slug": "tiny", "kubespawner_override": {{"cmd": {tiny!r}}}}}
)
"""
"""What an operator adds: a folder with a welcome and a logo of their own, and a profile."""

TINY = [sys.executable, str(ROOT / "tests" / "hub" / "spawner.py")]
"""A notebook server that is there at once."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path_factory.mktemp("cluster"), run_pods=True) as running:
        yield running


@pytest.fixture(scope="module")
def setup(
    jupyterhub: str, cluster: KubernetesStandin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    own = tmp_path_factory.mktemp(f"own-{jupyterhub}-")
    (own / "welcome.html").write_text("<h1>Notebooks of the Example Institute</h1>")
    logo = Path(pages.logo()).read_text(encoding="utf-8")
    (own / "logo.svg").write_text(logo.replace("#00528f", "#123456"))
    config = PODS + MINE.format(folder=str(own), tiny=TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        yield Setup(config, ("checkin", "spawner", "pages"))
    for pod in cluster.all("pods"):
        cluster.remove("pods", pod["metadata"]["name"])
    for kind in ("secrets", "persistentvolumeclaims"):
        for found in cluster.all(kind, "hub"):
            cluster.remove(kind, found["metadata"]["name"])


def log_in(page: Page, site: Site, name: str) -> None:
    page.goto(site.hub.url)
    page.get_by_role("button", name="Sign in with EGI Check-in").click()
    page.get_by_label("User").fill(name)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button").first.click()  # consent
    page.wait_for_url("**/hub/spawn*")


def start(page: Page, profile: str) -> None:
    page.get_by_role("radio", name=profile).check()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/user/*/**")


def claims(cluster: KubernetesStandin) -> list[str]:
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for pod in cluster.all("pods")
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]


def test_the_first_page_is_the_operators(site: Site, new_page: NewPage) -> None:
    page = new_page(reduced_motion="reduce")
    page.goto(site.hub.url)
    page.get_by_role("heading", name="Notebooks of the Example Institute").wait_for()
    assert "#123456" in page.request.get(f"{site.hub.url}hub/logo").text()
    assert page.title() == "Sign in · EGI Notebooks"
    check_fits(page)
    check_accessible(page)
    screenshots(page, "hub-login")


def test_a_notebook_opens_and_writes_into_its_users_home(
    site: Site, cluster: KubernetesStandin, page: Page
) -> None:
    site.provider.user("zoe", entitlements=[TRAINING, VO])
    log_in(page, site, "zoe")
    start(page, "Large")
    page.locator("#jp-main-dock-panel").wait_for()
    (pod,) = cluster.all("pods")
    assert {
        key: value for key, value in pod["metadata"]["annotations"].items() if "egi.eu" in key
    } == {"egi.eu/primary_group": VO, "egi.eu/flavor": "large"}
    headers = {"Authorization": f"token {site.hub.token_of('zoe')}"}
    file = {"type": "file", "format": "text", "content": "still here"}
    url = f"{site.hub.url}user/zoe/api/contents/kept.txt"
    httpx.put(url, headers=headers, json=file, timeout=60).raise_for_status()
    (home,) = claims(cluster)
    assert (cluster.claim_folder(home) / "kept.txt").read_text() == "still here"
    site.hub.stop_server("zoe")


def test_from_login_to_the_same_home_again(
    site: Site, cluster: KubernetesStandin, page: Page
) -> None:
    site.provider.user("alice", entitlements=[TRAINING, VO])
    log_in(page, site, "alice")
    start(page, "Tiny")
    secret = f"access-token-{site.user_id('alice')}"
    before = tokens_in(cluster, secret)
    assert before.keys() == {"access_token", "id_token"}
    (home,) = claims(cluster)

    site.provider.set(access_token_seconds=30)  # always due from now on
    with Visitor(site.hub) as visitor:
        visitor.login("alice")
        wait_for(
            lambda: (
                visitor.get("hub/home").is_success
                and tokens_in(cluster, secret)["access_token"] != before["access_token"]
            ),
            "a fresh token in the Secret",
        )
    site.provider.set(access_token_seconds=3600)

    page.goto(f"{site.hub.url}hub/home", wait_until="networkidle")  # its scripts are there
    page.get_by_role("button", name="Stop My Server").click()
    wait_for(lambda: not site.hub.user("alice")["servers"], "the end of the server")
    assert cluster.all("pods") == []
    page.goto(f"{site.hub.url}hub/spawn")
    start(page, "Tiny")
    assert claims(cluster) == [home]
    site.hub.stop_server("alice")


def test_two_named_servers_run_at_once_in_one_home_that_outlives_them(
    site: Site, cluster: KubernetesStandin
) -> None:
    site.provider.user("bob", entitlements=[VO])
    with Visitor(site.hub) as visitor:
        visitor.login("bob")
    for server in ("one", "two"):
        site.hub.start_server("bob", server, profile="tiny")
    first, second = claims(cluster)
    assert first == second
    for server in ("one", "two"):
        site.hub.stop_server("bob", server)
        remove = {"remove": True}
        site.hub.api("DELETE", f"/users/bob/servers/{server}", json=remove).raise_for_status()
    assert cluster.find("persistentvolumeclaims", first)


def test_twelve_first_servers_at_once_all_start(site: Site, cluster: KubernetesStandin) -> None:
    site.provider.user("dora", entitlements=[VO])
    with Visitor(site.hub) as visitor:
        visitor.login("dora")
    names = [f"server-{number}" for number in range(12)]

    def ask(server: str) -> int:
        path = f"/users/dora/servers/{server}"
        return site.hub.api("POST", path, json={"profile": "tiny"}).status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, names)) <= {201, 202}
    for name in names:
        site.hub.start_server("dora", name)  # waits until it is ready
    assert len(set(claims(cluster))) == 1
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: site.hub.stop_server("dora", name), names))


def test_what_is_not_open_is_refused_by_the_api_with_a_message(
    site: Site, cluster: KubernetesStandin
) -> None:
    site.provider.user("carol", entitlements=[TRAINING])
    with Visitor(site.hub) as visitor:
        visitor.login("carol")
        page = visitor.get("hub/spawn")
        assert "Small" in page.text
        assert "Large" not in page.text
    answer = site.hub.api("POST", "/users/carol/server", json={"profile": "large"})
    assert answer.status_code == 403
    says = "The environment 'large' is not open to you. Choose one of: small, tiny."
    assert answer.json()["message"] == says
    assert cluster.all("pods") == []
