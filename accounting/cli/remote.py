"""The service that ``--url`` names."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from pathlib import Path
from typing import TYPE_CHECKING

from accounting.errors import SettingsError

if TYPE_CHECKING:
    from accounting.config import Settings
    from accounting.service.client import Client


def service_of(settings: "Settings", url: str | None, token_file: Path | None) -> "Client | None":
    """The running service to go through; None if none is named.

    Raises:
        SettingsError: its address is none, or its token is missing.
    """
    address = url or settings.api.url
    if address is None:
        return None
    from accounting.config import read_secret
    from accounting.service.client import Client

    api = settings.api
    if not address.startswith(("http://", "https://")):
        raise SettingsError(
            f"--url: '{address}' is not an http:// or https:// address",
            "for example --url https://accounting.example.org",
        )
    if token_file is not None:
        return Client(address, read_secret(token_file, "api.token_file"))
    if api.job_token_file is not None:
        return Client(address, read_secret(api.job_token_file, "api.job_token_file"))
    if api.token_file is not None:
        return Client(address, read_secret(api.token_file, "api.token_file"))
    raise SettingsError(
        "the service's token is missing",
        "give --token-file, or set ACCOUNTING_API__JOB_TOKEN_FILE",
    )
