"""The settings: every name, default, description and example, once.

They come from the environment (``ACCOUNTING_…``, with ``__`` for nesting) and from one YAML file;
the environment wins. They are read once, at the edge, and handed down as values. Whatever is wrong
with them becomes one ``SettingsError`` that names the environment variable.
"""

import difflib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import yaml
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from accounting.apel import MAX_BENCHMARK_TYPE, MAX_RECORDS, MAX_TEXT, Site
from accounting.errors import SettingsError
from accounting.identity import Privacy, VoRules
from accounting.queries import Scope

PREFIX = "ACCOUNTING_"
CONFIG = f"{PREFIX}CONFIG"
_SHOWN = 60
_SHORTEST_KEY_BYTES = 16

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VO = re.compile(r"/?[^/\s;:]+(?:/[^/\s;:]+)*")
_LABEL = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?)=([A-Za-z0-9._-]*)")

# Kubernetes gives every pod such variables for the services around it: one that is called
# "accounting" must not stop this program.
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(?!.*__)(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


def _seconds(value: object) -> object:
    """``6h``, ``1h30m``, ``30s`` or a number of seconds; anything else fails with an example."""
    if isinstance(value, bool):
        raise ValueError("is not a duration")  # noqa: TRY004 - pydantic reports ValueError
    text = str(value).strip().lower()
    if _DURATION.fullmatch(text):
        return float(sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text)))
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is not a duration such as 30s, 5m, 6h, 2d or a number") from None
    if not math.isfinite(number):
        raise ValueError("is not a finite duration")
    return number


def _from_json(value: object) -> object:
    """A mapping that the environment gives as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not JSON: {exc.msg} at column {exc.colno}") from None


def _list(value: object) -> object:
    """A list that the environment gives as JSON, or as names with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _from_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _url(value: str) -> str:
    if not re.match(r"https?://[^/\s@]+(?:/|$)", value):
        if "@" in value:
            raise ValueError("must not hold a user or password (it would get into the logs)")
        raise ValueError("is not an http:// or https:// address")
    return value.rstrip("/")


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as exc:
        raise ValueError(f"is not a regular expression: {exc}") from None
    return value


def _site_name(value: str) -> str:
    if value and not _SITE_NAME.fullmatch(value):
        raise ValueError("is not a GOCDB site name (letters, digits, '.', '_' and '-')")
    return value


def _vo(value: str) -> str:
    if value and not _VO.fullmatch(value):
        raise ValueError("is neither a VO's name nor an FQAN such as /vo/group/Role=role")
    return value


def _label(value: str) -> str:
    if value and not _LABEL.fullmatch(value):
        raise ValueError("is not a label as name=value")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a line break or a control character")
    return value


Duration = Annotated[float, BeforeValidator(_seconds)]
Url = Annotated[str, AfterValidator(_url)]
Pattern = Annotated[str, AfterValidator(_pattern)]
VoName = Annotated[str, AfterValidator(_vo)]
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_one_line)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrometheusSettings(_Group):
    """Where the metrics are, and which pods count."""

    url: Url = Field(
        default="http://localhost:9090",
        description="Base address of Prometheus, or of anything with its query API "
        "(Thanos, Mimir, VictoriaMetrics).",
        examples=["http://prometheus-server.monitoring:9090"],
    )
    namespace: Text = Field(
        default="",
        description="The Kubernetes namespace that the notebooks run in. Needed to poll.",
        examples=["jupyterhub"],
    )
    pod: Pattern = Field(
        default="jupyter-.*",
        description="Regular expression for the names of the notebooks' pods, matched as a whole.",
        examples=["jupyter-.*"],
    )
    container: Text = Field(
        default="notebook",
        description="The pods' container whose image is reported.",
        examples=["notebook"],
    )
    label: Annotated[str, AfterValidator(_label)] = Field(
        default="",
        description="A label that pods must have to count, as name=value; empty for none. "
        "kube-state-metrics must be told to export it (--metric-labels-allowlist).",
        examples=["component=singleuser-server"],
    )
    token_file: Path | None = Field(
        default=None,
        description="File with a bearer token; read for every query, so that it may be rotated.",
        examples=["/var/run/secrets/kubernetes.io/serviceaccount/token"],
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificate authorities (PEM) for https; those of the system if not given.",
        examples=["/etc/ssl/prometheus-ca.pem"],
    )
    timeout: Duration = Field(
        default=120.0, gt=0, description="Longest wait for one query.", examples=["120s"]
    )
    scrape_interval: Duration = Field(
        default=60.0,
        gt=0,
        description="The scrape interval to assume where samples are too few to tell.",
        examples=["60s"],
    )


class PollSettings(_Group):
    """How usage is read."""

    step: Duration = Field(
        default=21600.0,
        ge=300,
        le=31 * 86400,
        description="Longest span that is read at a time; it is halved by itself where "
        "Prometheus refuses the amount.",
        examples=["6h"],
    )
    interval: Duration = Field(
        default=300.0, ge=1, description="How often `serve` polls.", examples=["5m"]
    )
    settle: Duration = Field(
        default=60.0,
        ge=0,
        description="Samples younger than this may not have arrived yet: polls end that long ago.",
        examples=["60s"],
    )
    history_days: int = Field(
        default=400,
        ge=1,
        le=3660,
        description="How many days back the first poll looks for data.",
        examples=[400],
    )


class VoSettings(_Group):
    """Whose usage it is, and what of it leaves the house."""

    default: VoName = Field(
        default="",
        description="The VO of notebooks without a primary group; empty for none: their records "
        "wait then.",
        examples=["vo.notebooks.egi.eu"],
    )
    map: Annotated[dict[str, VoName], BeforeValidator(_from_json)] = Field(
        default={},
        description="Primary group, exact or as a regular expression for all of it, to VO or "
        "FQAN; JSON in the environment.",
        examples=[{"urn:example:group:physics.*": "/vo.physics.example.org/users"}],
    )
    default_for_unmapped: bool = Field(
        default=False,
        description="Send groups from which no VO can be read with the default VO, instead of "
        "holding their records back.",
        examples=[True],
    )
    privacy: Annotated[dict[Pattern, Privacy], BeforeValidator(_from_json)] = Field(
        default={},
        description="VO, exact or as a regular expression, to what its records say about users: "
        "keep, pseudonym or withhold; JSON in the environment. Users are kept where none matches.",
        examples=[{"vo.private.example.org": "pseudonym"}],
    )
    pseudonym_key_file: Path | None = Field(
        default=None,
        description="File with the key of the pseudonyms, at least 16 bytes. Keep it: another "
        "key makes other pseudonyms.",
        examples=["/etc/notebooks-accounting/pseudonym.key"],
    )
    excluded_users: Annotated[frozenset[str], BeforeValidator(_list)] = Field(
        default=frozenset(),
        description="Users that are not accounted for, such as the monitoring's; in the "
        "environment a JSON list, or names with commas between them.",
        examples=["monitoring@egi.eu"],
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.default_for_unmapped and not self.default:
            raise ValueError(f"{PREFIX}VO__DEFAULT_FOR_UNMAPPED needs {PREFIX}VO__DEFAULT")
        if Privacy.PSEUDONYM in self.privacy.values() and self.pseudonym_key_file is None:
            raise ValueError(f"{PREFIX}VO__PRIVACY with pseudonyms needs "
                             f"{PREFIX}VO__PSEUDONYM_KEY_FILE")  # fmt: skip
        return self


class RecordSettings(_Group):
    """What records say where the cluster says nothing, or too much."""

    cpu_from: Literal["requests", "limits"] = Field(
        default="requests",
        description="Take CPU count and memory from the pods' requests or from their limits; the "
        "other is used where that one is missing.",
        examples=["requests"],
    )
    default_cpu_count: float | None = Field(
        default=None,
        gt=0,
        le=4096,
        description="CPU count of pods without requests and limits; unknown if not given.",
        examples=[1],
    )
    default_memory_mb: int | None = Field(
        default=None,
        gt=0,
        description="Memory of such pods, MB; if not given, the highest use that was seen.",
        examples=[1024],
    )
    benchmark_type: Annotated[
        str, Field(max_length=MAX_BENCHMARK_TYPE), AfterValidator(_one_line)
    ] = Field(default="", description="Name of the nodes' benchmark.", examples=["HEPscore23"])
    benchmark: float | None = Field(
        default=None, gt=0, description="Its result for one core.", examples=[12.5]
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if bool(self.benchmark_type) != (self.benchmark is not None):
            raise ValueError(f"{PREFIX}RECORD__BENCHMARK_TYPE and {PREFIX}RECORD__BENCHMARK "
                             "belong together")  # fmt: skip
        return self


class SsmSettings(_Group):
    """How signed messages reach the accounting repository."""

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
        default="eu-egi-cloud-accounting",
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
    timeout: Duration = Field(
        default=30.0, gt=0, description="Longest wait for the broker.", examples=["30s"]
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.transport == "dirq" and self.dirq_path is None:
            raise ValueError(f"{PREFIX}SSM__TRANSPORT=dirq needs {PREFIX}SSM__DIRQ_PATH")
        return self


class ApiSettings(_Group):
    """The service's own API."""

    token_file: Path | None = Field(
        default=None,
        description="File with the administrator's token, which the API asks for. `serve` needs "
        "it to listen on more than the loopback.",
        examples=["/etc/notebooks-accounting/token"],
    )
    url: Url | None = Field(
        default=None,
        description="Address of a running service, for `push --url` of a later version.",
        examples=["https://accounting.example.org"],
    )


class LogSettings(_Group):
    """What goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None,
        description="Least severity that is logged; if not given, info for `serve` and warning "
        "for all other commands.",
        examples=["info"],
    )
    as_json: bool = Field(
        default=False,
        validation_alias=AliasChoices("json"),
        description="Write one JSON object per line, for log collectors.",
        examples=[True],
    )


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        enable_decoding=False,  # the fields' own validators say more about broken JSON
        extra="forbid",
        frozen=True,
    )

    site_name: Annotated[Text, AfterValidator(_site_name)] = Field(
        default="",
        description="The site's name in GOCDB. Needed to poll and to push.",
        examples=["EGI-NOTEBOOKS"],
    )
    cloud_type: Text = Field(
        default="EGI Notebooks",
        description="The software that provides the service.",
        examples=["EGI Notebooks"],
    )
    cloud_compute_service: Text = Field(
        default="",
        description="Identifier of the service endpoint in GOCDB.",
        examples=["notebooks.example.org"],
    )
    database_url: str = Field(
        default="sqlite:///accounting.db",
        min_length=1,
        description="Where everything is kept: SQLite, or PostgreSQL.",
        examples=["postgresql://accounting@db.example.org/accounting"],
        json_schema_extra={"secret": True},
    )
    prometheus: PrometheusSettings = Field(default_factory=PrometheusSettings)
    poll: PollSettings = Field(default_factory=PollSettings)
    vo: VoSettings = Field(default_factory=VoSettings)
    record: RecordSettings = Field(default_factory=RecordSettings)
    ssm: SsmSettings = Field(default_factory=SsmSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then what the file says (which is handed in as arguments)."""
        return env_settings, init_settings

    def site(self) -> Site:
        """What every record says of the site.

        Raises:
            SettingsError: the site has no name.
        """
        if not self.site_name:
            raise _missing("site_name", "the site's name in GOCDB")
        record = self.record
        return Site(
            name=self.site_name,
            compute_service=self.cloud_compute_service,
            cloud_type=self.cloud_type,
            cpu_from_limits=record.cpu_from == "limits",
            default_cpu_count=record.default_cpu_count,
            default_memory_mb=record.default_memory_mb,
            benchmark_type=record.benchmark_type,
            benchmark=record.benchmark,
        )

    def vo_rules(self) -> VoRules:
        """How groups become VOs; reads the pseudonyms' key.

        Raises:
            SettingsError: the key cannot be read or is too short.
        """
        vo = self.vo
        key = b""
        if Privacy.PSEUDONYM in vo.privacy.values() and vo.pseudonym_key_file:
            key = read_secret(vo.pseudonym_key_file, "vo.pseudonym_key_file")
            if len(key) < _SHORTEST_KEY_BYTES:
                raise SettingsError(
                    f"{PREFIX}VO__PSEUDONYM_KEY_FILE: the key in {vo.pseudonym_key_file} is "
                    f"shorter than {_SHORTEST_KEY_BYTES} bytes",
                    f"make one with 'openssl rand -hex 32 > {vo.pseudonym_key_file}'",
                )
        return VoRules(
            default=vo.default,
            overrides=vo.map,
            default_for_unmapped=vo.default_for_unmapped,
            privacy=vo.privacy,
            pseudonym_key=key,
            excluded_users=vo.excluded_users,
        )

    def scope(self) -> Scope:
        """Which pods count.

        Raises:
            SettingsError: no namespace is given. There is no default: every cluster has a
                namespace 'default', so a wrong one would go unnoticed.
        """
        prometheus = self.prometheus
        if not prometheus.namespace:
            raise _missing("prometheus.namespace", "the namespace that the notebooks run in")
        name, _, value = prometheus.label.partition("=")
        return Scope(
            namespace=prometheus.namespace,
            pod=prometheus.pod,
            container=prometheus.container,
            label=(name, value) if name else None,
        )


class Setting(NamedTuple):
    """One setting as the reference shows it; ``path`` is its place in the file."""

    path: str
    field: FieldInfo

    @property
    def env(self) -> str:
        """Its environment variable."""
        return PREFIX + self.path.replace(".", "__").upper()

    @property
    def example(self) -> str:
        """An example as the environment would have it."""
        example = (self.field.examples or [""])[0]
        return shown(example)

    @property
    def is_duration(self) -> bool:
        """Whether it is a span of time."""
        checks = (check for check in self.field.metadata if isinstance(check, BeforeValidator))
        return any(check.func is _seconds for check in checks)

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be repeated."""
        extra = self.field.json_schema_extra
        return isinstance(extra, dict) and bool(extra.get("secret"))


def settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Setting]:
    """All settings, in the order of the reference."""
    for name, field in model.model_fields.items():
        key = "json" if field.validation_alias else name
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings(kind, f"{prefix}{key}.")
        else:
            yield Setting(prefix + key, field)


_KNOWN = {setting.path: setting for setting in settings()}


def shown(value: object) -> str:
    """A value as the environment would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return "" if value is None else str(value)


def load(path: Path | None = None) -> Settings:
    """Read the file, if there is one, and the environment.

    Args:
        path: the YAML file; ``ACCOUNTING_CONFIG`` if not given.

    Raises:
        SettingsError: a file that cannot be read, an unknown name, or a wrong value.
    """
    if path is None and os.environ.get(CONFIG):
        path = Path(os.environ[CONFIG])
    _refuse_unknown_names(os.environ)
    given = _read(path) if path else {}
    try:
        return Settings(**given)
    except ValidationError as exc:
        raise _wrong(exc) from None  # its text repeats values, secret ones too


def read_secret(path: Path, setting: str) -> bytes:
    """The content of a secret's file, without white space around it.

    Args:
        path: the file.
        setting: the setting that names it, such as ``api.token_file``.

    Raises:
        SettingsError: it cannot be read, or is empty.
    """
    name = _KNOWN[setting].env
    try:
        content = path.read_bytes().strip()
    except OSError as exc:
        raise SettingsError(
            f"{name}: {path} cannot be read: {exc.strerror}",
            "put the file there, readable for this program",
        ) from exc
    if not content:
        raise SettingsError(f"{name}: {path} is empty", "put the secret into it")
    return content


def _missing(path: str, what: str) -> SettingsError:
    setting = _KNOWN[path]
    return SettingsError(
        f"{setting.env} is not set: {what}", f"for example {setting.env}={setting.example}"
    )


def _nearest(name: str, names: list[str]) -> str:
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else "see docs/settings.md for all names"


def _refuse_unknown_names(names: Mapping[str, str]) -> None:
    known = [setting.env for setting in _KNOWN.values()]
    for name in sorted(names):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in {*known, CONFIG}:
            continue
        if not _SERVICE_LINK.fullmatch(upper):
            raise SettingsError(f"{name} is not a setting", _nearest(upper, known))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise SettingsError(
            f"the settings file {path} cannot be read: {exc.strerror}",
            f"correct --config or {CONFIG}, or the file's permissions",
        ) from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(
            f"the settings file {path} is not UTF-8 at byte {exc.start}", "save it as UTF-8"
        ) from exc
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(
            f"the settings file {path} is not YAML{where}: {exc.problem}",
            "correct that line; indentation and ': ' matter",
        ) from None
    except yaml.YAMLError as exc:
        raise SettingsError(
            f"the settings file {path} is not YAML: {str(exc).splitlines()[0]}",
            "remove that character",
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(
            f"the settings file {path} is not a mapping of names to values",
            "for example 'site_name: EGI-NOTEBOOKS'",
        )
    return _known_only(content, path)


def _known_only(content: dict[Any, Any], path: Path) -> dict[str, Any]:
    """The file's values without those that are left empty."""
    groups = {known.partition(".")[0] for known in _KNOWN if "." in known}
    for name, value in content.items():
        if name in groups and isinstance(value, dict):
            for inner in value:
                _refuse_unknown_key(f"{name}.{inner}", path)
        elif name in groups and value is not None:
            example = next(s for s in _KNOWN.values() if s.path.startswith(f"{name}."))
            raise SettingsError(
                f"'{name}' in the settings file {path} is not a mapping",
                f"write its settings below it, such as '{example.path.split('.')[1]}: …'",
            )
        elif name not in groups:
            _refuse_unknown_key(str(name), path)
    return {
        name: {k: v for k, v in value.items() if v is not None} if name in groups else value
        for name, value in content.items()
        if value is not None
    }


def _refuse_unknown_key(key: str, path: Path) -> None:
    if key not in _KNOWN:
        raise SettingsError(
            f"'{key}' in the settings file {path} is not a setting", _nearest(key, list(_KNOWN))
        )


def _wrong(exc: ValidationError) -> SettingsError:
    """The first wrong value in full, the others by name; secrets are never repeated."""
    problems = exc.errors(include_url=False, include_context=False)
    first, *others = problems
    setting = _setting_at(first["loc"])
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if setting is None:  # a group's own rule names its settings itself
        return SettingsError(message, "see docs/settings.md")
    what = message[0].lower() + message[1:]
    value = "" if setting.is_secret else f"{_short(first['input'])} "
    if "://" in value and "@" in value:  # an address with a password
        value = ""
    if not what.startswith(("is ", "must ", "holds ")):
        what = f"is wrong: {what}"
    more = sorted({s.env for other in others if (s := _setting_at(other["loc"]))} - {setting.env})
    return SettingsError(
        f"{setting.env}: {value}{what}" + (f" (and see {', '.join(more)})" if more else ""),
        f"for example {setting.env}={setting.example}",
    )


def _setting_at(location: tuple[int | str, ...]) -> Setting | None:
    parts = [str(part) for part in location]
    return _KNOWN.get(".".join(parts[:2])) or _KNOWN.get(parts[0] if parts else "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
