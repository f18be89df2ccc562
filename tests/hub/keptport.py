"""A spawner of local servers whose ports nobody else takes before the server listens.

JupyterHub's own chooses a free port, or keeps that of the last start, and lets go of it. A notebook
server needs seconds to listen, and other tests ask for free ports meanwhile. JupyterHub takes any
answer below 500 for the server's: then a page is another program's, which may say 401.
"""

import socket
from typing import Any

from jupyterhub.spawner import SimpleLocalProcessSpawner


class KeptPortSpawner(SimpleLocalProcessSpawner):  # type: ignore[misc] # traitlets have no types
    """Keeps the server's port from its choice until the next start."""

    kept: socket.socket | None = None

    async def start(self) -> Any:
        """Start on a port that is kept for the server."""
        if self.kept:
            self.kept.close()
        self.kept = kept_port()
        self.port = self.kept.getsockname()[1]
        return await super().start()


def kept_port() -> socket.socket:
    """A socket on a port of the loopback that is given to nobody who asks for a free one.

    It does not listen: a server that sets SO_REUSEADDR, as all here do, can.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept
