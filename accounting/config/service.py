"""Settings of the running program itself."""

from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, model_validator

from accounting.config.setting import PREFIX
from accounting.config.values import Group, Names, Prefix, Text
from notebooks_settings.values import Duration, Pattern, Url


class ApiSettings(Group):
    """The service's own API."""

    token_file: Path | None = Field(
        default=None,
        description="File with the administrator's token. `serve` needs it, or the hub's login, to "
        "listen on more than the loopback; `push --url` and `poll --url` send it.",
        examples=["/etc/notebooks-accounting/token"],
    )
    job_token_file: Path | None = Field(
        default=None,
        description="File with a token that may start polls, pushes and republishings and follow "
        "them, and nothing else: for a cron job.",
        examples=["/etc/notebooks-accounting/job-token"],
    )
    metrics_token_file: Path | None = Field(
        default=None,
        description="File with a token that may read /metrics, and nothing else: for Prometheus.",
        examples=["/etc/notebooks-accounting/metrics-token"],
    )
    url: Url | None = Field(
        default=None,
        description="Address of a running service, for `push --url` and `poll --url`.",
        examples=["https://accounting.example.org"],
    )
    trusted_proxies: Names = Field(
        default=frozenset(),
        description="Addresses or networks of the proxies in front of `serve`, whose "
        "X-Forwarded-For tells who logs in: failed logins are then counted per client.",
        examples=["10.0.0.0/8"],
    )


class HubSettings(Group):
    """JupyterHub's login, and who may see what by it.

    As a service that the hub starts, all but the groups comes from the hub's own JUPYTERHUB_…
    variables.
    """

    api_url: Url | None = Field(
        default=None,
        description="The hub's API, for a service that the hub does not start itself.",
        examples=["http://hub.jupyterhub:8081/hub/api"],
    )
    api_token_file: Path | None = Field(
        default=None,
        description="File with the service's API token as the hub knows it. With it, people log "
        "in with the hub, and the hub's tokens count; needs the extra 'login'.",
        examples=["/etc/notebooks-accounting/hub-token"],
    )
    public_url: Url | None = Field(
        default=None,
        description="The hub's address as browsers see it, where it is not this service's own.",
        examples=["https://hub.example.org/hub"],
    )
    service: Text = Field(
        default="accounting",
        min_length=1,
        description="The service's name at the hub: its tokens need access:services!service=NAME.",
        examples=["accounting"],
    )
    callback_url: Text = Field(
        default="",
        description="The service's oauth_redirect_uri at the hub, if it is not the usual one.",
        examples=["https://accounting.example.org/oauth_callback"],
    )
    prefix: Prefix = Field(
        default="",
        description="Path that a proxy in front of this service keeps; the hub's "
        "JUPYTERHUB_SERVICE_PREFIX if not given, or none.",
        examples=["/services/accounting/"],
    )
    origin: Literal["shared", "own", "user-domains"] = Field(
        default="shared",
        description="Which pages share a host name with these: `shared`: users' notebooks do, so "
        "that in a browser everybody sees their own usage only; `own`: the service has a host name "
        "of its own (callback_url), so that administrators and managers see theirs; "
        "`user-domains`: the hub gives each user a domain (subdomain_host).",
        examples=["own"],
    )
    admin_groups: Names = Field(
        default=frozenset(),
        description="Groups of the hub whose members see and do everything, as the hub's own "
        "admins do; in the environment a JSON list, or names with commas between them.",
        examples=["accounting-admins"],
    )
    manager_group: Pattern = Field(
        default="",
        description="Regular expression for the groups of VO managers, matched as a whole; what "
        "(?P<vo>…) captures is the VO that their members see. None if empty.",
        examples=[r"urn:mace:egi\.eu:group:(?P<vo>[^:]+):role=manager#aai\.egi\.eu"],
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.manager_group and "(?P<vo>" not in self.manager_group:
            raise ValueError(
                f"{PREFIX}HUB__MANAGER_GROUP captures no VO: write (?P<vo>…) where its name stands"
            )
        if self.api_token_file is not None and self.api_url is None:
            raise ValueError(f"{PREFIX}HUB__API_TOKEN_FILE needs {PREFIX}HUB__API_URL")
        return self


class PortalSettings(Group):
    """The accounting portal, whose figures `reconcile` holds against what was delivered."""

    url: Url = Field(
        default="https://accounting.egi.eu/json",
        description="The portal's open data, JSON or CSV.",
        examples=["https://accounting.egi.eu/json"],
    )
    interval: Duration = Field(
        default=0.0,
        ge=0,
        description="How often `serve` reconciles the last two months that have ended; 0 for "
        "never. The portal is updated once a day.",
        examples=["24h"],
    )
    unit: Literal["auto", "seconds", "minutes", "hours", "days"] = Field(
        default="auto",
        description="In what the portal counts time, which it does not say. auto: as in the last "
        "month that agreed, or else what fits best.",
        examples=["hours"],
    )
    tolerance: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Differences up to this part of a figure are none.",
        examples=[0.01],
    )
    delay: Duration = Field(
        default=172800.0,
        ge=0,
        description="What was delivered within this time before the portal was read may not be "
        "shown yet.",
        examples=["48h"],
    )
    timeout: Duration = Field(
        default=300.0,
        gt=0,
        description="Longest time for reading the portal: it sends the data of all sites.",
        examples=["5m"],
    )
    most_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1,
        description="Most bytes of the portal's answer.",
        examples=[536870912],
    )


class LogSettings(Group):
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
