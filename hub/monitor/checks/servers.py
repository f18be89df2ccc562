"""The monitoring user's servers through the Hub API: least rights, one user."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

_POLL_SECONDS = 1.0
_REFUSED, _NO_RIGHT, _NO_USER = 400, 403, 404


class ServerFailed(Exception):
    """The hub refused, or the server did not start: why, in one line."""


class Servers:
    """Starts and stops them.

    Args:
        http: bears the service's token.
        api_url: the Hub API's.
        user: whose servers.
    """

    def __init__(self, http: httpx.AsyncClient, api_url: str, user: str) -> None:
        self._http = http
        self._user_url = f"{api_url}/users/{quote(user, safe='')}"

    async def known(self) -> dict[str, dict[str, Any]]:
        """All servers by name, stopped named ones too, as the Hub API describes them."""
        answer = await self._http.get(self._user_url, params={"include_stopped_servers": "1"})
        self._judge(answer)
        return dict(answer.json()["servers"])

    async def start(self, server: str, options: Mapping[str, object]) -> str:
        """Start one and wait until it is ready: its path.

        Raises:
            ServerFailed: it did not start.
        """
        answer = await self._http.post(self._url(server), json=dict(options))
        self._judge(answer)
        await self._follow(server)
        while True:
            found = (await self.known()).get(server)
            if found and found.get("ready"):
                return str(found["url"])
            if not found or not found.get("pending"):
                raise ServerFailed("the server ended while it started: see the hub's log")
            await asyncio.sleep(_POLL_SECONDS)

    async def _follow(self, server: str) -> None:
        """Read the progress to its end: it knows why a start failed."""
        try:
            async with self._http.stream("GET", f"{self._url(server)}/progress") as progress:
                async for line in progress.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    event = json.loads(line.removeprefix("data:"))
                    if event.get("failed"):
                        said = str(event.get("message") or "no reason was given")
                        raise ServerFailed(f"the server did not start: {said[:200]}")
                    if event.get("ready"):
                        return
        except httpx.TransportError:
            return  # the polls that follow find out

    async def remove(self, server: str) -> None:
        """Stop one, remove it if it has a name, and wait until it is gone.

        A server that is still starting cannot be stopped: then this asks again and again.
        """
        while server in (found := await self.known()):
            state = found[server]
            if not server and state.get("stopped"):
                return
            if state.get("pending") != "stop":
                wish = {"remove": True} if server else {}
                answer = await self._http.request("DELETE", self._url(server), json=wish)
                if answer.status_code not in {_REFUSED, _NO_USER}:
                    self._judge(answer)
            await asyncio.sleep(_POLL_SECONDS)

    def _url(self, server: str) -> str:
        return f"{self._user_url}/servers/{server}" if server else f"{self._user_url}/server"

    def _judge(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        try:
            said = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            said = answer.reason_phrase
        said = " ".join(said.split())[:200]
        cures = {
            _NO_RIGHT: ": see the service's role in docs/monitoring.md",
            _NO_USER: ": make the monitoring user, see docs/monitoring.md",
        }
        cure = cures.get(answer.status_code, "")
        raise ServerFailed(f"the hub answered {answer.status_code} {said}{cure}")
