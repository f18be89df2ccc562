"""AWS' signatures (SigV4), which its managed Prometheus wants instead of a token.

The library signs requests of ``requests``; here it signs what urllib3 is about to send.
"""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accounting.errors import SettingsError, SourceRefused

if TYPE_CHECKING:
    from requests_aws4auth import AWS4Auth

_SETTING = "ACCOUNTING_PROMETHEUS__"
_SERVICE = "aps"
_NAMES = ("aws_access_key_id", "aws_secret_access_key")


@dataclass(frozen=True)
class Signing:
    """Who signs.

    Attributes:
        region: of the workspace, such as ``eu-west-1``.
        credentials_file: as AWS' own tools have it; read for every request, so it may be rotated.
        profile: its section.
    """

    region: str
    credentials_file: Path
    profile: str = "default"

    def auth(self) -> "AWS4Auth":
        """What signs a request of ``requests``, with the credentials as they are now.

        Raises:
            SettingsError: the library is missing.
            SourceRefused: the file has no credentials.
        """
        try:
            from requests_aws4auth import AWS4Auth  # noqa: PLC0415 - an extra, and slow to load
        except ImportError as exc:
            raise SettingsError(
                f"{_SETTING}AWS_REGION: signing requests for AWS needs a library that is missing",
                "install notebooks-accounting with its extra 'aws'",
            ) from exc
        found = self._credentials()
        return AWS4Auth(
            *(found[name] for name in _NAMES),
            self.region,
            _SERVICE,
            session_token=found.get("aws_session_token"),
        )

    def headers(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None
    ) -> dict[str, str]:
        """The headers that sign a request, which is about to be sent with the others.

        Raises:
            SettingsError, SourceRefused: see ``auth``.
        """
        import requests  # noqa: PLC0415 - slow to load, and seldom needed

        sent = {name: text for name, text in headers.items() if name == "Content-Type"}
        same = requests.Request(method, url, headers=sent, data=body)
        signed = self.auth()(same.prepare())
        return {
            name: str(value)
            for name, value in signed.headers.items()
            if name.lower() == "authorization" or name.lower().startswith("x-amz-")
        }

    def _credentials(self) -> dict[str, str]:
        parser = configparser.ConfigParser(interpolation=None, default_section="")
        try:
            parser.read_string(self.credentials_file.read_text(encoding="utf-8-sig"))
            found = dict(parser[self.profile])
        except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as exc:
            raise self._refused(f"no section [{self.profile}] can be read") from exc
        if missing := [name for name in _NAMES if not found.get(name)]:
            raise self._refused(f"it has no {missing[0]}")
        return found

    def _refused(self, why: str) -> SourceRefused:
        return SourceRefused(
            f"the credentials for AWS cannot be used: {why}: {self.credentials_file}",
            f"see {_SETTING}AWS_CREDENTIALS_FILE and {_SETTING}AWS_PROFILE; the file is as AWS'"
            " own tools write it",
        )
