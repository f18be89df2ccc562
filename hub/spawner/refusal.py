"""A server that is not started, for a reason that the user is told."""

from typing import Any

from tornado.web import HTTPError

try:
    from jupyterhub.spawner import SpawnException as _SpawnException
except ImportError:  # JupyterHub 5
    _SpawnException = None


def refusal(status: int, message: str, *, reason: str) -> HTTPError:
    """The error to raise from a spawner: the page and the API show `message` with `status`.

    Args:
        status: the HTTP status, as 403.
        message: for the user: what is refused, and what they can do.
        reason: one word for the hub's metrics.
    """
    error: Any
    if _SpawnException is not None:
        error = _SpawnException(message, reason=reason, status_code=status)
    else:
        error = HTTPError(status, message.replace("%", "%%"))
    error.jupyterhub_message = message
    return error  # type: ignore[no-any-return]
