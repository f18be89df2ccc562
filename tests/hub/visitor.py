"""Somebody at a browser, without the browser: follows redirects, fills in the provider's forms."""

import re
from html import unescape
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.hub.rig import Hub


class Visitor(httpx.Client):
    """An HTTP client with cookies that can log in; `hub` is where it is at home."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(base_url=hub.url, follow_redirects=True, timeout=60)

    def login(self, name: str, *, path: str = "hub/oauth_login") -> httpx.Response:
        """Log in at the OpenID provider as this user and consent; the page that it ends at."""
        self.get(path)
        return self.finish_login(name)

    def get(self, *args: Any, **options: Any) -> httpx.Response:
        """As `httpx.Client.get`; remembers the page."""
        self.page = super().get(*args, **options)
        return self.page

    def finish_login(self, name: str) -> httpx.Response:
        """Fill in the provider's forms, once the last page that was got is one of them."""
        page = self.page
        while form := _form(page):
            page = self.post(urljoin(str(page.url), form), data={"login": name, "answer": "yes"})
        return page

    def login_with_password(self, name: str, password: str) -> httpx.Response:
        """Log in with the hub's own form; the page that it ends at."""
        self.get("hub/login")
        data = {"username": name, "password": password, "_xsrf": self.xsrf()}
        return self.post("hub/login", data=data)

    def xsrf(self) -> str:
        """The token that the hub's forms carry; some page was visited before."""
        for cookie in self.cookies.jar:
            if cookie.name == "_xsrf" and cookie.path.startswith("/hub") and cookie.value:
                return cookie.value
        msg = "the hub set no _xsrf cookie"
        raise LookupError(msg)


def _form(page: httpx.Response) -> str | None:
    """The action of a page's login or consent form, if the page is the provider's."""
    if "/interaction/" not in page.url.path:
        return None
    found = re.search(r'<form method="post"(?: action="([^"]*)")?', page.text)
    return unescape(found[1] or str(page.url)) if found else None
