"""The check of a notebook: start, page, kernel, stop; each step is measured and has a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
from aiohttp import ClientError, WSServerHandshakeError

from hub.monitor.checks.kernel import CellFailed, run_cell
from hub.monitor.checks.servers import ServerFailed, Servers
from hub.monitor.result import Run, State
from hub.monitor.settings import MonitorSettings
from notebooks_settings.proxies import proxy_of

NAME = "notebook"
STEPS = ("clean up", "start", "page", "kernel", "stop")
_REQUEST_SECONDS = 60.0
_Result = TypeVar("_Result")


class StepFailed(Exception):
    """A step's name and what happened, in one line."""


@dataclass
class _Steps:
    """Measures steps."""

    taken: list[tuple[str, float]] = field(default_factory=list)

    async def take(self, name: str, deadline: float, work: Awaitable[_Result]) -> _Result:
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline):
                return await work
        except TimeoutError:
            raise StepFailed(f"{name}: not done within {deadline:g} s") from None
        except (ServerFailed, CellFailed) as exc:
            raise StepFailed(f"{name}: {exc}") from exc
        except (httpx.HTTPError, ClientError, OSError) as exc:
            raise StepFailed(f"{name}: {_reason(exc)}") from exc
        finally:
            self.taken.append((name, time.monotonic() - began))


def _reason(exc: Exception) -> str:
    """The reason without addresses, which may hold secrets."""
    if isinstance(exc, httpx.HTTPStatusError):
        return f"the server answered {exc.response.status_code}"
    if isinstance(exc, WSServerHandshakeError):
        return f"the server answered {exc.status}"
    return f"no answer ({type(exc).__name__})"


@dataclass(frozen=True)
class NotebookCheck:
    """Starts a server as the monitoring user and tries it.

    Attributes:
        settings: the monitor's, with ``hub_url``.
        api_url: the Hub API's.
        token: of the service.
        clock: tells Unix time.
    """

    settings: MonitorSettings
    api_url: str
    token: str = field(repr=False)
    clock: Callable[[], float] = time.time
    name: str = NAME

    async def run(self) -> Run:
        """Run the check once. It stops the server also after a failure, if the hub answers."""
        began_at, steps, remains = self.clock(), _Steps(), 0
        headers = {"Authorization": f"token {self.token}"}
        async with httpx.AsyncClient(
            headers=headers,
            timeout=_REQUEST_SECONDS,
            proxy=proxy_of(self.api_url),
            trust_env=False,
        ) as http:
            servers = Servers(http, self.api_url, self.settings.user)
            failed = ""
            try:
                remains = await steps.take(
                    STEPS[0], self.settings.stop_deadline, self._clean_up(servers)
                )
                await self._try(http, servers, steps)
            except StepFailed as exc:
                failed = str(exc)
            try:
                await steps.take(
                    STEPS[4], self.settings.stop_deadline, servers.remove(self.settings.server)
                )
            except StepFailed as exc:
                failed = failed or str(exc)
        return self._judged(began_at, steps.taken, remains, failed)

    async def _clean_up(self, servers: Servers) -> int:
        """Remove what an earlier run left: how many were running."""
        found = await servers.known()
        for server in found:
            await servers.remove(server)
        return sum(not state.get("stopped") for state in found.values())

    async def _try(self, http: httpx.AsyncClient, servers: Servers, steps: _Steps) -> None:
        settings = self.settings
        path = await steps.take(
            STEPS[1], settings.start_deadline, servers.start(settings.server, settings.options)
        )
        server_url = str(httpx.URL(settings.hub_url or "").join(path))
        await steps.take(STEPS[2], settings.page_deadline, self._open(http, server_url))
        if settings.cell:
            cell = run_cell(http, server_url, settings.kernel, settings.cell)
            answer = await steps.take(STEPS[3], settings.kernel_deadline, cell)
            if answer != settings.answer:
                raise StepFailed(f"{STEPS[3]}: the cell's answer is not what was expected")

    async def _open(self, http: httpx.AsyncClient, server_url: str) -> None:
        wanted = server_url + self.settings.page
        while True:  # the proxy may not have the route to the new server yet
            answer = await http.get(wanted, follow_redirects=True)
            if answer.is_success and str(answer.url).startswith(server_url):
                return
            if answer.is_success:
                raise ServerFailed("the page leads away from the server: see the service's role")
            if not answer.is_server_error:
                answer.raise_for_status()
            await asyncio.sleep(1)

    def _judged(
        self, began_at: float, taken: list[tuple[str, float]], remains: int, failed: str
    ) -> Run:
        steps = tuple(taken)
        if failed:
            return Run(NAME, began_at, State.CRITICAL, failed, steps)
        ready = dict(steps)[STEPS[1]]
        said = f"a notebook was ready in {ready:.1f} s"
        if remains:
            said += f"; {remains} server of an earlier run had to be stopped"
        if ready > self.settings.slow:
            said += f", slower than {self.settings.slow:g} s"
        state = State.WARNING if remains or ready > self.settings.slow else State.OK
        return Run(NAME, began_at, state, said, steps)
