"""Requests of many users at once are identified one by one, with room for others in between.

JupyterHub looks up a request's token and writes the user's activity to its database in one go, at
the request's beginning, before any setting or method of an authenticator comes in. Hundreds of
requests that come together are hundreds of commits in one turn of the event loop, in which nobody
else is answered: Kubernetes' probe of `/hub/health` least of all. So each waits for its turn here.
"""

import asyncio
from functools import wraps
from typing import Any

_MARK = "_is_paced"


def pace(handlers: Any) -> None:
    """Let requests to these handlers (JupyterHub's `BaseHandler`) take turns, once for all.

    Requests that carry neither token nor cookie, as a probe's, do not wait: there is nothing to
    look up for them.
    """
    prepare = handlers.prepare
    if getattr(prepare, _MARK, False):
        return
    turn = asyncio.Lock()

    @wraps(prepare)
    async def prepared(self: Any) -> None:
        if "Authorization" in self.request.headers or "Cookie" in self.request.headers:
            async with turn:
                await asyncio.sleep(0)  # the loop serves whoever else is ready
        await prepare(self)

    setattr(prepared, _MARK, True)
    handlers.prepare = prepared
