"""What a page in somebody's notebook can do with the browser of an administrator who opens it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from accounting.config import load
from accounting.doctor.finding import State
from accounting.doctor.pages import pages
from accounting.errors import SettingsError
from accounting.guard.origin import origin_of
from accounting.guard.sessions import Session
from tests.api.hubs import OWN_TOKEN, PASSWORD, SERVICE_TOKEN, Hub, run_hub
from tests.api.serving import ADMIN, Running, Serve, listening
from tests.delivery.books import account, write
from tests.private import secret
from tests.security.attacker import ATTACK, notebook

PREFIX = "/services/accounting"

WINDOW = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with run_hub(tmp_path_factory.mktemp("hub")) as found, notebook(found.notebook_port):
        yield found


def started(serve: Serve, hub: Hub, folder: Path, token: str, **changes: str) -> Running:
    secret(folder / "hub-token", token)
    running = serve(
        HUB__API_URL=hub.api,
        HUB__API_TOKEN_FILE=str(folder / "hub-token"),
        HUB__PUBLIC_URL=f"{hub.named_url}/hub",
        **changes,
    )
    owners = [("boss", "own-vo"), ("ada-somebody", "other-vo"), ("bob-somebody", "other-vo")]
    books = [account(n, user=user, group=vo) for n, (user, vo) in enumerate(owners)]
    write(running.service.database, books)
    return running


@pytest.fixture
def shared(hub: Hub, serve: Serve, tmp_path: Path) -> Iterator[Running]:
    """Below the hub's address, as the default is."""
    running = started(serve, hub, tmp_path, SERVICE_TOKEN, HUB__PREFIX=f"{PREFIX}/")
    with listening(running.service, running.doors, hub.service_port):
        yield running


@pytest.fixture
def own(hub: Hub, serve: Serve, tmp_path: Path) -> Iterator[Running]:
    """On a host name of its own; and, by mistake, below the hub's address too."""
    running = started(
        serve,
        hub,
        tmp_path,
        OWN_TOKEN,
        HUB__SERVICE="accounting-own",
        HUB__ORIGIN="own",
        HUB__CALLBACK_URL=f"{hub.own_url}/oauth_callback",
    )
    with ExitStack() as stack:
        for port in (hub.own_port, hub.service_port):
            stack.enter_context(listening(running.service, running.doors, port))
        yield running


def opened_by_boss(page: Page, url: str) -> None:
    page.goto(url)
    page.fill("#username_input", "boss")
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.wait_for_url(f"{url}**")


def attacked(page: Page, target: str, place: str) -> dict[str, str]:
    """What a page of a notebook brings back when the signed-in administrator opens it."""
    victim = page.context.new_page()
    victim.goto(f"{place}/services/notebook/")
    found: dict[str, str] = victim.evaluate(ATTACK, target)
    return found


def test_on_a_shared_origin_an_attack_reads_no_more_than_the_viewer_s_own_usage(
    shared: Running, hub: Hub, page: Page
) -> None:
    target = f"{hub.named_url}{PREFIX}"
    opened_by_boss(page, f"{target}/")
    assert page.url == f"{target}/my"
    assert "shows only your own usage" in page.inner_text("main")
    assert "ACCOUNTING_HUB__ORIGIN" in page.inner_text("main")
    loot = attacked(page, target, hub.named_url)
    everything = "\n".join(loot.values())
    # The attack is real: no header can stop a window and a service worker of the same origin.
    assert "own-vo" in loot["worker"]
    assert "own-vo" in loot["window /records"]
    assert loot["csrf"]
    for word in ("somebody", "other-vo", "Deliveries"):
        assert word not in everything
    assert "nothing can be done at an address that notebooks share" in loot["action same-origin"]
    assert shared.service.runs.latest() == []
    for name, text in loot.items():
        if name.startswith(("fetch", "iframe", "object", "embed", "prefetch", "element", "socket")):
            assert "own-vo" not in text, name


def test_on_a_host_of_its_own_every_attack_fails(own: Running, hub: Hub, page: Page) -> None:
    opened_by_boss(page, f"{hub.own_url}/")
    assert "other-vo" in page.inner_text("main")
    for place in (hub.named_url, hub.url):  # of the same site, and of another
        loot = attacked(page, hub.own_url, place)
        everything = "\n".join(loot.values())
        for word in ("somebody", "other-vo", "own-vo", "csrf_token", "boss"):
            assert word not in everything
        assert not loot["csrf"]
    assert own.service.runs.latest() == []
    page.goto(f"{hub.own_url}/deliveries")  # after all that, the administrator still works there
    page.click("text=Push now")
    assert own.service.runs.latest()


def test_by_the_hub_s_address_a_service_with_its_own_host_shows_only_one_s_own(
    own: Running, hub: Hub
) -> None:
    token = hub.token_of("boss")
    key = own.doors.sessions.open(Session(hub_token=token))
    said = {"Cookie": f"accounting-session={key}", **WINDOW}
    for host, role in ((hub.own_url, "admin"), (hub.named_url, "self"), ("http://x", "self")):
        headers = {**said, "Host": httpx.URL(host).netloc.decode()}
        answer = httpx.get(
            f"http://127.0.0.1:{hub.own_port}/api/v1/me", headers=headers, timeout=60
        )
        assert answer.json()["role"] == role


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("path", [f"{PREFIX}/", f"{PREFIX}/login", f"{PREFIX}/records?vo=a"])
def test_whoever_opens_the_pages_below_the_hub_s_address_is_led_to_their_own_host(
    path: str, hub: Hub
) -> None:
    """There the login ends; begun elsewhere, it would find no cookie."""
    answer = httpx.get(f"{hub.url}{path}", headers={"Accept": "text/html", **WINDOW}, timeout=60)
    assert (answer.status_code, answer.headers["location"]) == (302, f"{hub.own_url}/")


@pytest.mark.usefixtures("shared")
def test_a_shared_origin_takes_no_token_from_a_browser(hub: Hub) -> None:
    url = f"{hub.url}{PREFIX}"
    answer = httpx.post(f"{url}/login", data={"token": ADMIN}, timeout=60)
    assert answer.status_code == 403
    assert "docs/security.md" in answer.json()["cure"]
    # Programs send it with each request; no browser's page can.
    headers = {"Authorization": f"Bearer {ADMIN}"}
    assert httpx.get(f"{url}/api/v1/me", headers=headers, timeout=60).json()["role"] == "admin"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"PUBLIC_URL": "https://hub.example.org/hub"}, "needs ACCOUNTING_HUB__CALLBACK_URL"),
        ({"CALLBACK_URL": "/oauth_callback"}, "needs ACCOUNTING_HUB__CALLBACK_URL"),
        (
            {"CALLBACK_URL": "https://accounting.example.org/oauth_callback"},
            "needs ACCOUNTING_HUB__PUBLIC_URL",
        ),
        (
            {
                "CALLBACK_URL": "https://hub.example.org:8443/oauth_callback",
                "PUBLIC_URL": "https://HUB.example.org/hub",
            },
            "on the hub's host name hub.example.org",
        ),
    ],
)
def test_a_host_of_its_own_that_is_none_is_refused(
    changes: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret(tmp_path / "hub-token", SERVICE_TOKEN)
    given = {
        "ORIGIN": "own",
        "API_URL": "http://127.0.0.1:9/hub/api",
        "API_TOKEN_FILE": str(tmp_path / "hub-token"),
        **changes,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"ACCOUNTING_HUB__{name}", value)
    with pytest.raises(SettingsError, match=said):
        origin_of(load())


def test_the_doctor_says_whose_address_the_pages_share(shared: Running) -> None:
    (found,) = pages(shared.service.settings)
    assert found.state is State.WARNING
    assert "ACCOUNTING_HUB__ORIGIN=own" in found.cure


def test_without_a_hub_the_service_has_its_address_to_itself(serve: Serve) -> None:
    running = serve()
    assert origin_of(running.service.settings).kind == "own"
    assert list(pages(running.service.settings)) == []
