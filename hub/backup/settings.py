"""Settings of the backup."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from hub.backup.snapshots.repository import Access
from hub.backup.snapshots.retention import Retention
from hub.program.failure import WrongSetting
from hub.program.settings import Counts, Document, Names, ProgramSettings
from notebooks_settings.values import Duration, Pattern

PREFIX = "NOTEBOOKS_BACKUP_"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_OF_THE_WORKERS = (
    "repository",
    "secrets_dir",
    "volumes_dir",
    "options",
    "exclude",
    "include",
    "lock_wait",
)


class BackupSettings(ProgramSettings):
    """All settings of the backup."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
    )

    namespace: str = Field(
        default="",
        description="The namespace of the users' volume claims; if empty, the one that the"
        " program runs in.",
        examples=["jupyterhub"],
    )
    claims: Pattern = Field(
        default="claim-.*",
        description="Regular expression for the names of the claims to keep, matched as a whole.",
        examples=["claim-.*"],
    )
    repository: str = Field(
        default="",
        description="The restic repository: a path, sftp:…, s3:…, rest:… or any other backend."
        " If its address holds a password, put it into the secret's file `repository` instead.",
        examples=["sftp:backup@backup.example.org:notebooks"],
    )
    secrets_dir: Path = Field(
        default=Path("/run/secrets/notebooks-backup"),
        description="Folder of the mounted Secret: `password` (needed), `repository`,"
        " `ssh-privatekey` and `known_hosts` (for sftp), and files in capital letters, such as"
        " `AWS_ACCESS_KEY_ID`, which become environment of restic.",
        examples=["/run/secrets/notebooks-backup"],
    )
    options: Names = Field(
        default=(),
        description="Options of restic's backends, as its `-o` takes them.",
        examples=["s3.storage-class=STANDARD_IA"],
    )
    exclude: Names = Field(
        default=("lost+found", ".cache", ".local/share/Trash"),
        description="Patterns (restic's) of what is not kept.",
        examples=["lost+found,.cache,*.tmp"],
    )
    include: Names = Field(
        default=(),
        description="Patterns, from the volume's top folder, of what is kept; everything if empty.",
        examples=["work,*.ipynb"],
    )
    keep: Counts = Field(
        default={"daily": 7, "weekly": 5, "monthly": 12},
        description="How many snapshots of each volume are kept: last, hourly, daily, weekly,"
        " monthly, yearly.",
        examples=[{"daily": 7, "weekly": 5, "monthly": 12}],
    )
    check_parts: int = Field(
        default=10,
        ge=1,
        le=256,
        description="Each check reads one part of the data out of so many, another one each day.",
        examples=[10],
    )
    lock_wait: Duration = Field(
        default=2400.0,
        ge=0,
        description="How long to wait for a repository that another run has locked. restic takes"
        " a lock for dead after 30 minutes of silence.",
        examples=["40m"],
    )
    parallel: int = Field(
        default=4, ge=1, le=64, description="How many volumes at a time.", examples=[4]
    )
    volume_timeout: Duration = Field(
        default=21600.0,
        ge=1,
        description="Longest time for one volume, waiting for its pod included.",
        examples=["6h"],
    )
    start_timeout: Duration = Field(
        default=600.0,
        ge=1,
        description="Longest time that a worker's pod may take to start, the volume's attachment"
        " included.",
        examples=["10m"],
    )
    drill_claims: int = Field(
        default=3, ge=1, description="How many claims a restore drill tries.", examples=[3]
    )
    image: str = Field(
        default="",
        description="Image of the workers' pods: this program's own. The chart sets it.",
        examples=["registry.example.org/notebooks-backup:0.1.0"],
    )
    secret_name: str = Field(
        default="",
        description="Name of the Secret that the workers' pods mount at `secrets_dir`. The chart"
        " sets it.",
        examples=["notebooks-backup"],
    )
    user_id: int = Field(
        default=1000,
        ge=0,
        description="User of the workers' pods: who owns the files in the volumes.",
        examples=[1000],
    )
    group_id: int = Field(
        default=100, ge=0, description="Group of the workers' pods.", examples=[100]
    )
    worker: Document = Field(
        default={},
        description="What else the workers' pods say in their `spec`: tolerations,"
        " imagePullSecrets, priorityClassName, nodeSelector …",
        examples=[{"priorityClassName": "low"}],
    )
    worker_resources: Document = Field(
        default={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        description="Resources of the workers' containers.",
        examples=[{"limits": {"memory": "1Gi"}}],
    )
    status_configmap: str = Field(
        default="",
        description="ConfigMap that keeps the results between runs, and that the exporter shows."
        " The chart sets it.",
        examples=["notebooks-backup-status"],
    )
    status_file: Path | None = Field(
        default=None,
        description="File that keeps the results between runs, if there is no ConfigMap; `serve`"
        " shows it. Its folder must exist.",
        examples=["/var/lib/notebooks-backup/status.json"],
    )
    metrics_file: Path | None = Field(
        default=None,
        description="File for node-exporter's textfile collector, written after each run.",
        examples=["/var/lib/node-exporter/notebooks_backup.prom"],
    )
    metrics_token_file: Path | None = Field(
        default=None,
        description="File with the token that `serve` asks for; needed beyond the loopback.",
        examples=["/run/secrets/notebooks-backup-metrics/token"],
    )
    volumes_dir: Path = Field(
        default=Path("/volumes"),
        description="Where a worker's pod mounts its volume, in a folder of the claim's name.",
        examples=["/volumes"],
    )

    @field_validator("keep")
    @classmethod
    def _check_keep(cls, value: dict[str, int]) -> dict[str, int]:
        Retention.parse(value)
        return value

    @property
    def retention(self) -> Retention:
        """What is kept."""
        return Retention.parse(self.keep)

    @property
    def access(self) -> Access:
        """How to reach the repository."""
        return Access(self.repository, self.secrets_dir, self.options, self.lock_wait)

    def own_namespace(self) -> str:
        """The namespace of the claims.

        Raises:
            WrongSetting: none is given, and the program does not run in a cluster.
        """
        if self.namespace:
            return self.namespace
        try:
            return _OWN_NAMESPACE.read_text(encoding="utf-8").strip()
        except OSError:
            raise WrongSetting(
                f"{PREFIX}NAMESPACE is not set, and this is no pod",
                f"for example {PREFIX}NAMESPACE=jupyterhub",
            ) from None

    def worker_environment(self) -> dict[str, str]:
        """The settings that a worker's pod needs, as its environment; there is no secret in them.

        Shape: variable → text, only those that differ from the default.
        """
        dumped = self.model_dump(mode="json", include=set(_OF_THE_WORKERS), exclude_defaults=True)
        return {PREFIX + name.upper(): _written(value) for name, value in dumped.items()}


def _written(value: object) -> str:
    import json  # noqa: PLC0415 - only here

    return json.dumps(value) if isinstance(value, list) else str(value)
