"""The settings as a whole, and the values that the domain takes from them."""

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from accounting.config.cim import CimSettings
from accounting.config.delivery import Destinations, SsmSettings
from accounting.config.energy import EnergySettings
from accounting.config.eosc import EoscSettings
from accounting.config.measuring import PollSettings, PrometheusSettings
from accounting.config.records import RecordSettings, VoSettings
from accounting.config.secret import read_secret
from accounting.config.service import ApiSettings, HubSettings, LogSettings, PortalSettings
from accounting.config.setting import PREFIX, Setting
from accounting.config.storage import StorageSettings
from accounting.config.values import SiteName, Text
from accounting.errors import SettingsError
from accounting.measure.promql.scope import Scope
from accounting.model.energy import EnergyRules
from accounting.records.accelerators import Kind, Kinds
from accounting.records.builder import Site
from accounting.records.identity import Privacy, VoRules

_SHORTEST_KEY_BYTES = 16


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

    site_name: SiteName = Field(
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
        description="Where everything is kept: SQLite, or PostgreSQL. "
        "SQLite on a network file system (NFS) needs '?journal=delete' at the end; "
        "'?password_file=PATH' reads PostgreSQL's password from a file.",
        examples=["postgresql://accounting@db.example.org/accounting"],
        json_schema_extra={"secret": True},
    )
    prometheus: PrometheusSettings = Field(default_factory=PrometheusSettings)
    poll: PollSettings = Field(default_factory=PollSettings)
    vo: VoSettings = Field(default_factory=VoSettings)
    record: RecordSettings = Field(default_factory=RecordSettings)
    energy: EnergySettings = Field(default_factory=EnergySettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    ssm: SsmSettings = Field(default_factory=SsmSettings)
    destinations: Destinations = Field(
        default_factory=dict,
        description="Further destinations, by names of your own. Each gets everything, "
        "whatever becomes of the others, and may have its own records, transport, dirq_path, "
        "hostcert, hostkey, servercert, ca_file, ams_host, ams_port, authn_port, ams_project, "
        "ams_topic, records_per_message and interval; the others are as `ssm` has them.",
        examples=[{"second": {"ams_topic": "notebooks-copy"}}],
    )
    eosc: EoscSettings = Field(default_factory=EoscSettings)
    cim: CimSettings = Field(default_factory=CimSettings)
    portal: PortalSettings = Field(default_factory=PortalSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    hub: HubSettings = Field(default_factory=HubSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then what the file says (which is handed in as arguments)."""
        return env_settings, init_settings

    def site(self) -> Site:
        """What every record says of the site.

        Raises:
            SettingsError: the site has no name.
        """
        if not self.site_name:
            raise _missing("site_name", Settings, "the site's name in GOCDB")
        record = self.record
        return Site(
            name=self.site_name,
            compute_service=self.cloud_compute_service,
            cloud_type=self.cloud_type,
            cpu_from_limits=self._limits_first,
            default_cpu_count=record.default_cpu_count,
            default_memory_mb=record.default_memory_mb,
            benchmark_type=record.benchmark_type,
            benchmark=record.benchmark,
            kinds=Kinds(
                {
                    name: Kind("" if kind.type == "none" else kind.type, kind.model, kind.share)
                    for name, kind in record.accelerators.items()
                }
            ),
            energy=self._energy_rules,
            storage_system=self.storage.system,
            storage_share=self.storage.share,
        )

    @property
    def _limits_first(self) -> bool:
        return self.record.cpu_from == "limits"

    @property
    def _energy_rules(self) -> EnergyRules | None:
        return self.energy.rules if self.energy.enabled else None

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
                    f"make one with 'umask 077; openssl rand -hex 32 > {vo.pseudonym_key_file}'",
                )
        return VoRules(
            default=vo.default,
            overrides=vo.map,
            default_for_unmapped=vo.default_for_unmapped,
            privacy=vo.privacy,
            pseudonym_key=key,
            excluded_users=vo.excluded_users,
            ascii_users="dirq" in {self.ssm.transport, *self._other_transports},
        )

    @property
    def _other_transports(self) -> set[str | None]:
        return {destination.transport for destination in self.destinations.values()}

    def scope(self) -> Scope:
        """Which pods count.

        Raises:
            SettingsError: no namespace is given. There is no default: every cluster has a
                namespace 'default', so a wrong one would go unnoticed.
        """
        prometheus = self.prometheus
        if not prometheus.namespace:
            what = "the namespace that the notebooks run in"
            raise _missing("prometheus.namespace", PrometheusSettings, what)
        name, _, value = prometheus.label.partition("=")
        return Scope(
            namespace=prometheus.namespace,
            pod=prometheus.pod,
            container=prometheus.container,
            label=(name, value) if name else None,
            matchers=prometheus.matchers,
            limits_first=self._limits_first,
            energy_zones=self.energy.zones if self.energy.enabled else (),
            has_volumes=self.measures_storage,
        )

    @property
    def measures_storage(self) -> bool:
        """Whether home volumes are measured: for the pages, or because a destination takes them."""
        taken = {self.ssm.records, *(one.records for one in self.destinations.values())}
        return self.storage.measure or "storage" in taken


def _missing(path: str, group: type[BaseModel], what: str) -> SettingsError:
    setting = Setting(path, group.model_fields[path.rpartition(".")[2]])
    return SettingsError(
        f"{setting.env} is not set: {what}", f"for example {setting.env}={setting.example}"
    )
