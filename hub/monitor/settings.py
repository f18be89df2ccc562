"""Settings of the monitor."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_settings import SettingsConfigDict

from hub.program.settings import Document, ProgramSettings
from notebooks_settings.values import Duration, Url

PREFIX = "NOTEBOOKS_MONITOR_"
ServerName = Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9-]{0,29})?$")]


class MonitorSettings(ProgramSettings):
    """All settings of the monitor."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
    )

    hub_url: Url | None = Field(
        default=None,
        description="The hub's address as users have it, JupyterHub's base path included. Needed.",
        examples=["https://notebooks.example.org"],
    )
    api_url: Url | None = Field(
        default=None,
        description="The Hub API's address; JUPYTERHUB_API_URL, which the hub gives its services,"
        " or below `hub_url` if not given.",
        examples=["http://hub:8081/hub/api"],
    )
    api_token_file: Path | None = Field(
        default=None,
        description="File with the service's API token; JUPYTERHUB_API_TOKEN if not given.",
        examples=["/run/secrets/notebooks-monitor/api-token"],
    )
    user: str = Field(
        default="monitoring",
        min_length=1,
        description="The monitoring user. Nobody else may use this name: all its servers are"
        " stopped.",
        examples=["monitoring"],
    )
    server: ServerName = Field(
        default="",
        description="Name of the server; the user's default server if empty.",
        examples=["hourly"],
    )
    options: Document = Field(
        default={},
        description="Options of the server, as the spawn form sends them.",
        examples=[{"profile": "small"}],
    )
    page: str = Field(
        default="lab", description="Page of the server that is opened.", examples=["lab"]
    )
    cell: str = Field(
        default="print(6 * 7)",
        description="Code that is run in a kernel; empty: no kernel is started.",
        examples=["print(6 * 7)"],
    )
    answer: str = Field(default="42", description="What that code must write.", examples=["42"])
    kernel: str = Field(
        default="",
        description="Name of the kernel; the server's default if empty.",
        examples=["python3"],
    )
    interval: Duration = Field(
        default=3600.0, ge=1, description="From one start to the next.", examples=["1h"]
    )
    start_deadline: Duration = Field(
        default=300.0, gt=0, description="Longest wait for a ready server.", examples=["5m"]
    )
    page_deadline: Duration = Field(
        default=60.0, gt=0, description="Longest wait for its page.", examples=["1m"]
    )
    kernel_deadline: Duration = Field(
        default=120.0, gt=0, description="Longest wait for the cell's answer.", examples=["2m"]
    )
    stop_deadline: Duration = Field(
        default=120.0,
        gt=0,
        description="Longest wait until a server is gone, at the end and before the start.",
        examples=["2m"],
    )
    slow: Duration = Field(
        default=120.0,
        gt=0,
        description="A server that takes longer to be ready is a WARNING.",
        examples=["2m"],
    )
    binder_url: Url | None = Field(
        default=None,
        description="A BinderHub whose `/health` is asked too.",
        examples=["https://binder.example.org"],
    )
    stale: Duration | None = Field(
        default=None,
        gt=0,
        description="A result older than this is UNKNOWN; two intervals and ten minutes if not"
        " given.",
        examples=["2h"],
    )
    history_file: Path = Field(
        default=Path("monitor.db"),
        description="SQLite file with the results.",
        examples=["/var/lib/notebooks-monitor/monitor.db"],
    )
    history_days: int = Field(
        default=90, ge=1, description="How long results are kept.", examples=[90]
    )
    token_file: Path | None = Field(
        default=None,
        description="File with a token for probes and Prometheus, beside the hub's own tokens.",
        examples=["/run/secrets/notebooks-monitor/probe-token"],
    )
    open_status: bool = Field(
        default=False,
        description="Show `status.json` to everybody, for probes that can send no token.",
        examples=[True],
    )

    @property
    def stale_seconds(self) -> float:
        """Age at which a result says nothing any more."""
        return self.stale if self.stale is not None else 2 * self.interval + 600
