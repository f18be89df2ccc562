"""Shared by the pages' tests: eight weeks of notebooks, behind a real JupyterHub, and a broker."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page

from accounting.wiring.places import FIRST
from accounting.wiring.pushers import pushers_of
from ssm.testing.authority import Authority
from ssm.testing.standin import AmsStandin
from tests.api.hubs import PASSWORD, SERVICE_TOKEN, Hub, run_hub
from tests.api.serving import Running, listening, served
from tests.broker import delivery_to
from tests.private import secret
from tests.web import month

PREFIX = "/services/accounting"
MANAGERS = r"urn:mace:egi\.eu:group:(?P<vo>[^:]+):role=manager#aai\.egi\.eu"


@dataclass(frozen=True)
class Site:
    """The service, and the hub in front of it."""

    running: Running
    hub: Hub
    _logins: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The pages' address as browsers see it, without a slash at its end."""
        return f"{self.hub.url}{PREFIX}"

    def open(self, page: Page, path: str = "/", user: str = "boss") -> None:
        """Open a page as somebody who logs in with the hub first, if they have not yet.

        A fresh browser has the cookies of their last login, if the hub still takes them.
        """
        if not page.context.cookies():
            page.context.add_cookies(self._logins.get(user, []))
        page.goto(f"{self.url}{path}")
        if page.locator("#username_input").count():
            page.fill("#username_input", user)
            page.fill("#password_input", PASSWORD)
            page.click("#login_submit")
            page.wait_for_url(f"{self.url}/**")
            page.goto(f"{self.url}{path}")
        self._logins[user] = page.context.cookies()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with run_hub(tmp_path_factory.mktemp("hub")) as found:
        yield found


@contextmanager
def started(folder: Path, now: float, **changes: str) -> Iterator[tuple[Running, AmsStandin]]:
    """A service with eight weeks of notebooks, and the broker that it delivers to."""
    authority = Authority.create(folder / "ca")
    host = authority.issue("notebooks.example.org", key="ec")
    with ExitStack() as stack:
        broker = stack.enter_context(AmsStandin(authority))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in list(os.environ):
            if name.startswith(("ACCOUNTING_", "JUPYTERHUB_")):
                patch.delenv(name)
        settings = {
            **delivery_to(broker, authority, host),
            "SSM__RECORDS_PER_MESSAGE": "100",
        }
        running = stack.enter_context(served(folder, patch, now, {**settings, **changes}))
        month.fill(running.service.database)
        yield running, broker


@pytest.fixture(scope="module")
def site(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything is measured, and delivered but for one record that cannot be."""
    folder = tmp_path_factory.mktemp("site")
    secret(folder / "hub-token", SERVICE_TOKEN)
    login = {
        "HUB__API_URL": hub.api,
        "HUB__API_TOKEN_FILE": str(folder / "hub-token"),
        "HUB__PREFIX": f"{PREFIX}/",
        "HUB__MANAGER_GROUP": MANAGERS,
        "HUB__ORIGIN": "user-domains",
    }
    with started(folder, month.NOW, **login) as (running, _broker):
        service = running.service
        pusher = pushers_of(service.settings, service.database)[FIRST]
        pusher._now = lambda: month.NOW - 1500
        report = pusher.push()
        assert report.error is None
        with listening(service, running.doors, hub.service_port):
            yield Site(running, hub)


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """A page on which nothing may be refused by its own policy, and no script may fail."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "the server responded with a status of" not in message.text:
            said.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    assert said == []
