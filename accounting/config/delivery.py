"""Settings of where records go."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from accounting.config.setting import PREFIX
from accounting.config.values import Group, Port, Text
from accounting.records.formats.apel import MAX_RECORDS
from notebooks_settings.values import Duration, from_json

Takes = Literal["individual", "summary", "accelerators", "storage"]
_CLOUD_TOPIC = "eu-egi-cloud-accounting"
_STORAGE_TOPIC = "eu-egi-storage-accounting"


class SsmSettings(Group):
    """How signed messages reach the accounting repository."""

    records: Takes = Field(
        default="individual",
        description="individual: a record of each notebook and month. summary: a month's sums by "
        "user, VO, image and cores, without the notebooks. accelerators: what each notebook held "
        "of each model of accelerator; no release of APEL takes these: ask for a topic first. "
        "storage: what each home volume held, day by day (StAR).",
        examples=["individual"],
    )
    transport: Literal["ams", "dirq"] = Field(
        default="ams",
        description="ams: sign and publish to the ARGO Messaging Service. dirq: write plain "
        "records into a spool, from which the reference ssmsend sends them.",
        examples=["ams"],
    )
    dirq_path: Path | None = Field(
        default=None,
        description="The spool's folder; needed for dirq.",
        examples=["/var/spool/apel/outgoing"],
    )
    hostcert: Path = Field(
        default=Path("/etc/grid-security/hostcert.pem"),
        description="The host certificate (PEM) whose DN is registered in GOCDB; read whenever "
        "it is used.",
        examples=["/etc/grid-security/hostcert.pem"],
    )
    hostkey: Path = Field(
        default=Path("/etc/grid-security/hostkey.pem"),
        description="Its key (PEM, without a passphrase).",
        examples=["/etc/grid-security/hostkey.pem"],
    )
    servercert: Path | None = Field(
        default=None,
        description="The receiver's certificate (PEM), to encrypt messages for it; if not given, "
        "they are signed only.",
        examples=["/etc/grid-security/servercert.pem"],
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificate authorities (PEM file, or hashed folder) for the broker's TLS; "
        "well-known ones if not given.",
        examples=["/etc/grid-security/certificates"],
    )
    ams_host: Text = Field(
        default="msg.argo.grnet.gr",
        description="The broker's host.",
        examples=["msg.argo.grnet.gr"],
    )
    ams_port: Port = Field(default=443, description="The port of the broker's API.", examples=[443])
    authn_port: Port = Field(
        default=8443,
        description="The port of the broker's login with certificates.",
        examples=[8443],
    )
    ams_project: Text = Field(
        default="accounting", description="The broker's project.", examples=["accounting"]
    )
    ams_topic: Text = Field(
        default=_CLOUD_TOPIC,
        description="The topic that records go to.",
        examples=["eu-egi-cloud-accounting"],
    )
    records_per_message: int = Field(
        default=500,
        ge=1,
        le=MAX_RECORDS,
        description="Most records in one message; bounded by the message's size as well.",
        examples=[500],
    )
    interval: Duration = Field(
        default=3600.0,
        ge=0,
        description="How often `serve` pushes, besides trying again after failures; 0 for never: "
        "`push` is then run by itself.",
        examples=["1h"],
    )
    connect_timeout: Duration = Field(
        default=10.0, gt=0, description="Longest wait for a connection.", examples=["10s"]
    )
    timeout: Duration = Field(
        default=30.0,
        gt=0,
        description="Longest wait for the broker to say something.",
        examples=["30s"],
    )
    total_timeout: Duration = Field(
        default=120.0,
        gt=0,
        description="Longest time for one call as a whole; after a crash, what was being sent "
        "is sent again that long after its attempt began.",
        examples=["2m"],
    )
    retry_first: Duration = Field(
        default=30.0,
        gt=0,
        description="Wait after the first failure of a message; it doubles with each further "
        "one, and up to half of it is left to chance.",
        examples=["30s"],
    )
    retry_longest: Duration = Field(
        default=3600.0, gt=0, description="The longest such wait.", examples=["1h"]
    )
    probe_after: Duration = Field(
        default=21600.0,
        gt=0,
        description="A destination that refused a message is tried again by itself after this "
        "long; `outbox resume` tries it at once.",
        examples=["6h"],
    )
    split_above_bytes: int = Field(
        default=500_000,
        ge=1,
        description="A message above this size (bytes of base64) that the broker answers with "
        "500 counts as too large, and is split.",
        examples=[500_000],
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.transport == "dirq" and self.dirq_path is None:
            raise ValueError(f"{PREFIX}SSM__TRANSPORT=dirq needs {PREFIX}SSM__DIRQ_PATH")
        if self.transport == "ams":
            _require_topic(self.records, self.ams_topic)
        return self


def _require_topic(records: Takes, topic: str) -> None:
    """The loader of cloud records rejects other messages as a whole."""
    if topic != _CLOUD_TOPIC:
        return
    if records == "accelerators":
        raise ValueError("records of accelerators need an ams_topic of their own: ask APEL for one")
    if records == "storage":
        raise ValueError(f"records of storage need another ams_topic: {_STORAGE_TOPIC}")


class DestinationSettings(Group):
    """A further destination; what is not given is as ``ssm`` has it."""

    records: Takes | None = None
    transport: Literal["ams", "dirq"] | None = None
    dirq_path: Path | None = None
    hostcert: Path | None = None
    hostkey: Path | None = None
    servercert: Path | None = None
    ca_file: Path | None = None
    ams_host: Text | None = None
    ams_port: Port | None = None
    authn_port: Port | None = None
    ams_project: Text | None = None
    ams_topic: Text | None = None
    records_per_message: int | None = Field(default=None, ge=1, le=MAX_RECORDS)
    interval: Duration | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _has_a_place_of_its_own(self) -> Self:
        if self.transport == "dirq" and self.dirq_path is None:
            raise ValueError("with the transport dirq, dirq_path is needed")
        if self.records == "accelerators" and self.transport != "dirq":
            _require_topic(self.records, self.ams_topic or _CLOUD_TOPIC)
        if self.records == "storage" and self.ams_topic is not None:
            _require_topic(self.records, self.ams_topic)
        return self

    def over(self, ssm: SsmSettings) -> SsmSettings:
        """These settings, and for the rest those of the first destination."""
        given = self.model_dump(exclude_none=True)
        if self.records == "storage":
            given.setdefault("ams_topic", _STORAGE_TOPIC)
        return ssm.model_copy(update=given)


_TAKEN = ("apel", "elsewhere")


def _is_free(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"'{name}' has a meaning of its own: choose another name")
    return name


DestinationName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=63),
    AfterValidator(_is_free),
]
Destinations = Annotated[dict[DestinationName, DestinationSettings], BeforeValidator(from_json)]
"""By names that are the operator's own: letters, digits, ``-``, ``_`` and ``.``."""
