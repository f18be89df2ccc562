"""The check of a BinderHub: its own ``/health``."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from hub.monitor.result import Run, State
from notebooks_settings.proxies import proxy_of

NAME = "binder"
STEP = "health"
_SECONDS = 30.0


@dataclass(frozen=True)
class BinderCheck:
    """Asks a BinderHub how it is.

    Attributes:
        url: its address.
        clock: tells Unix time.
    """

    url: str
    clock: Callable[[], float] = time.time
    name: str = NAME

    async def run(self) -> Run:
        """Ask once."""
        began_at, began = self.clock(), time.monotonic()
        try:
            async with httpx.AsyncClient(
                timeout=_SECONDS,
                follow_redirects=True,
                proxy=proxy_of(self.url),
                trust_env=False,
            ) as http:
                answer = await http.get(f"{self.url}/health")
            state, said = judged(answer.json())
        except httpx.HTTPError as exc:
            state, said = State.CRITICAL, f"no answer ({type(exc).__name__})"
        except (ValueError, KeyError, TypeError, AttributeError):
            state, said = State.CRITICAL, f"the answer {answer.status_code} is not BinderHub's"
        return Run(NAME, began_at, state, said, ((STEP, time.monotonic() - began),))


def judged(health: dict[str, Any]) -> tuple[State, str]:
    """What BinderHub's answer means: ``{"ok": …, "checks": [{"service": …, "ok": …}]}``."""
    ill = sorted(str(check["service"]) for check in health["checks"] if not check["ok"])
    if health["ok"]:
        return State.OK, "BinderHub is well"
    return State.CRITICAL, f"BinderHub is not well: {', '.join(ill) or 'it does not say why'}"
