"""Settings of EOSC's accounting: where hours go, and what each flavour counts as there."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from accounting.config.secret import read_secret
from accounting.config.setting import PREFIX
from accounting.config.values import Group, Text
from accounting.errors import SettingsError
from accounting.records.daily import Metric, Metrics
from notebooks_settings.values import Duration, Url, from_json
from ssm.errors import CertificateError

LEFT_OUT = "none"
"""Stands for a flavour whose hours are not sent on purpose."""
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_EPOCH = date(1970, 1, 1)


def _id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,128}", value):
        raise ValueError("is not an id as EOSC's accounting gives them (letters, digits, - and _)")
    return value


def _is_private(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" and parts.hostname not in _THIS_MACHINE:
        raise ValueError("must be an https:// address: tokens and secrets go there")
    return value


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat() if value else ""
    except ValueError:
        raise ValueError("is not a day such as 2026-12-01") from None


Day = Annotated[str, AfterValidator(_day)]
Id = Annotated[str, AfterValidator(_id)]
PrivateUrl = Annotated[Url, AfterValidator(_is_private)]


class FlavorMetric(BaseModel):
    """What a flavour counts as, where it is not at the usual installation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition: Id
    installation: Id = ""


def _named(value: object) -> object:
    """An id alone stands for the definition at the usual installation."""
    value = from_json(value)
    if not isinstance(value, dict):
        return value
    return {
        flavor: {"definition": one} if isinstance(one, str) else one
        for flavor, one in value.items()
    }


FlavorMetrics = Annotated[dict[str, FlavorMetric], BeforeValidator(_named)]


class EoscSettings(Group):
    """EOSC's accounting API, which is told the hours of each flavour, user, VO and UTC day."""

    url: PrivateUrl | None = Field(
        default=None,
        description="The API's address, up to the host. Nothing is sent there if not given.",
        examples=["https://api.acc.argo.grnet.gr"],
    )
    token_url: PrivateUrl | None = Field(
        default=None,
        description="The OIDC provider's token endpoint, for client credentials.",
        examples=["https://aai.example.org/OIDC/token"],
    )
    client_id: Text = Field(
        default="", description="The client's id at the provider.", examples=["notebooks"]
    )
    client_secret_file: Path | None = Field(
        default=None,
        description="File with the client's secret; read for every token.",
        examples=["/etc/notebooks-accounting/eosc-secret"],
    )
    scope: Text = Field(
        default="openid email profile voperson_id entitlements",
        description="What the token is asked for.",
        examples=["openid email profile voperson_id entitlements"],
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificate authorities (PEM) of both; those of the system if not given.",
        examples=["/etc/ssl/certs/ca-certificates.crt"],
    )
    installation: Id = Field(
        default="",
        description="The installation's id, for flavours that name none of their own.",
        examples=["667c0e0b7aa4d01a2cde0f41"],
    )
    metrics: FlavorMetrics = Field(
        default_factory=dict,
        description="What flavours count as: the id of a metric definition (hours per day, "
        "aggregated), or `definition` and `installation`; `none` leaves a flavour out. Names may "
        "be patterns (`*`, `?`); exact ones come first. Flavours that are not here are shown and "
        "alerted.",
        examples=[{"small": "668bdd5988e1d617b217ecb9"}],
    )
    first_day: Day = Field(
        default="",
        description="The first UTC day that is told; all that was measured if not given.",
        examples=["2026-12-01"],
    )
    delay: Duration = Field(
        default=3600.0,
        ge=0,
        description="A day is told when it has been over for so long, as far as was measured.",
        examples=["1h"],
    )
    interval: Duration = Field(
        default=3600.0,
        ge=0,
        description="How often `serve` pushes there; 0 for never: `push` is then run by itself.",
        examples=["1h"],
    )
    timeout: Duration = Field(
        default=30.0,
        gt=0,
        description="Longest wait for the API to say something; four times that for a request as "
        "a whole.",
        examples=["30s"],
    )
    most_bytes: int = Field(
        default=16 * 1024 * 1024,
        ge=1,
        description="Most bytes of an answer.",
        examples=[16777216],
    )

    @property
    def total_timeout(self) -> float:
        """Longest time for a request as a whole, in seconds."""
        return 4 * self.timeout

    @property
    def first(self) -> int:
        """The first day that is told, since 1970-01-01."""
        return (date.fromisoformat(self.first_day) - _EPOCH).days if self.first_day else 0

    def client_secret(self) -> str:
        """The client's secret, as the file has it now.

        Raises:
            CertificateError: it cannot be read: every push looks again.
        """
        try:
            path = self.client_secret_file or Path()
            return read_secret(path, "eosc.client_secret_file").decode("ascii")
        except SettingsError as exc:
            raise CertificateError(exc.message, exc.cure) from exc
        except UnicodeDecodeError as exc:
            raise CertificateError(
                f"{PREFIX}EOSC__CLIENT_SECRET_FILE is no plain text", "put the secret into it"
            ) from exc

    def of_flavors(self) -> Metrics:
        """What flavours count as."""
        return Metrics(
            {
                flavor: None
                if one.definition == LEFT_OUT
                else Metric(one.installation or self.installation, one.definition)
                for flavor, one in self.metrics.items()
            }
        )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.url is None:
            return self
        for name in ("token_url", "client_id", "client_secret_file"):
            if not getattr(self, name):
                raise ValueError(f"{PREFIX}EOSC__URL needs {PREFIX}EOSC__{name.upper()}")
        for flavor, one in self.metrics.items():
            if one.definition != LEFT_OUT and not (one.installation or self.installation):
                raise ValueError(
                    f"the metric of '{flavor}' has no installation: set {PREFIX}EOSC__INSTALLATION"
                )
        return self
