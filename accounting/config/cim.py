"""Settings of GreenDIGIT's CIM, which is told each notebook's energy by day."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from accounting.config.secret import read_secret
from accounting.config.setting import PREFIX
from accounting.config.values import Group, Text
from accounting.errors import SettingsError
from notebooks_settings.values import Duration, Url
from ssm.errors import CertificateError

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def _is_private(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" and parts.hostname not in _THIS_MACHINE:
        raise ValueError("must be an https:// address: the password goes there")
    return value


class CimSettings(Group):
    """GreenDIGIT's CIM, which is told the energy of each notebook and UTC day."""

    url: Annotated[Url, AfterValidator(_is_private)] | None = Field(
        default=None,
        description="The API's address, up to its version. Nothing is sent there if not given.",
        examples=["https://greendigit-cim.sztaki.hu/gd-cim-api/v1"],
    )
    email: Text = Field(
        default="",
        description="The publisher's e-mail address, which GreenDIGIT has registered with the "
        "role 'publish'.",
        examples=["operator@example.org"],
    )
    password_file: Path | None = Field(
        default=None,
        description="File with the publisher's password; read for every token.",
        examples=["/etc/notebooks-accounting/cim-password"],
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificate authorities (PEM); those of the system if not given.",
        examples=["/etc/ssl/certs/ca-certificates.crt"],
    )
    delay: Duration = Field(
        default=3600.0,
        ge=0,
        description="A day is told when it has been over for so long, as far as was measured. "
        "What changes later is not told by itself: the CIM takes no corrections.",
        examples=["1h"],
    )
    interval: Duration = Field(
        default=21600.0,
        ge=0,
        description="How often `serve` pushes there; 0 for never: `push` is then run by itself.",
        examples=["6h"],
    )
    timeout: Duration = Field(
        default=60.0,
        gt=0,
        description="Longest wait for the CIM to say something; four times that for a request as "
        "a whole.",
        examples=["60s"],
    )
    most_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=1,
        description="Most bytes of an answer.",
        examples=[33554432],
    )

    @property
    def total_timeout(self) -> float:
        """Longest time for a request as a whole, in seconds."""
        return 4 * self.timeout

    def password(self) -> str:
        """The password, as the file has it now.

        Raises:
            CertificateError: it cannot be read: every push looks again.
        """
        try:
            return read_secret(self.password_file or Path(), "cim.password_file").decode()
        except SettingsError as exc:
            raise CertificateError(exc.message, exc.cure) from exc
        except UnicodeDecodeError as exc:
            raise CertificateError(
                f"{PREFIX}CIM__PASSWORD_FILE is no plain text", "put the password into it"
            ) from exc

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.url is not None:
            for name in ("email", "password_file"):
                if not getattr(self, name):
                    raise ValueError(f"{PREFIX}CIM__URL needs {PREFIX}CIM__{name.upper()}")
        return self
