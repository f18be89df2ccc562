"""Settings of what is measured, and how."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from accounting.config.setting import PREFIX
from accounting.config.values import (
    Group,
    HeaderFiles,
    Headers,
    Label,
    Matchers,
    Parameters,
    Text,
)
from notebooks_settings.values import Duration, Pattern, Url


class PrometheusSettings(Group):
    """Where the metrics are, and which pods count."""

    url: Url = Field(
        default="http://localhost:9090",
        description="Base address of Prometheus, or of anything with its query API "
        "(Thanos, Mimir, VictoriaMetrics).",
        examples=["http://prometheus-server.monitoring:9090"],
    )
    public_url: Url | None = Field(
        default=None,
        description="Prometheus' address as people's browsers reach it: a notebook's page links its"
        " samples there. Without it, the page has the queries to copy.",
        examples=["https://prometheus.example.org"],
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
    label: Label = Field(
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
    user: Text = Field(
        default="",
        description="User for basic authentication, with `password_file`; a token goes before it.",
        examples=["accounting"],
    )
    password_file: Path | None = Field(
        default=None,
        description="File with that user's password; read for every query.",
        examples=["/etc/notebooks-accounting/prometheus.password"],
    )
    headers: Headers = Field(
        default={},
        description="Headers to send with every query, such as the tenant of Mimir, Cortex or "
        "Thanos; JSON in the environment.",
        examples=[{"X-Scope-OrgID": "hub"}],
    )
    header_files: HeaderFiles = Field(
        default={},
        description="Headers whose values are secrets, to the files that hold them; JSON in the "
        "environment.",
        examples=[{"X-Api-Key": "/etc/notebooks-accounting/api.key"}],
    )
    parameters: Parameters = Field(
        default={},
        description="Parameters to add to every query's address, such as the namespace that "
        "OpenShift's tenancy port wants; JSON in the environment.",
        examples=[{"namespace": "jupyterhub"}],
    )
    matchers: Matchers = Field(
        default="",
        description="Further matchers for all series, as PromQL has them: for a store that holds "
        "several clusters.",
        examples=['cluster="production"'],
    )
    client_cert: Path | None = Field(
        default=None,
        description="Certificate (PEM, with its chain) to show to a store that demands one.",
        examples=["/etc/notebooks-accounting/client.pem"],
    )
    client_key: Path | None = Field(
        default=None,
        description="Its key (PEM, not encrypted), if not in the same file.",
        examples=["/etc/notebooks-accounting/client.key"],
    )
    aws_region: Text = Field(
        default="",
        description="Region of a workspace of AWS' managed Prometheus: every query is signed "
        "(SigV4), which goes before a token. Needs `aws_credentials_file`, and the extra `aws`.",
        examples=["eu-west-1"],
    )
    aws_credentials_file: Path | None = Field(
        default=None,
        description="File with AWS' credentials, as its own tools have it; read for every query, "
        "so that it may be rotated.",
        examples=["/etc/notebooks-accounting/aws.credentials"],
    )
    aws_profile: Text = Field(
        default="default",
        description="The section of that file.",
        examples=["accounting"],
    )
    ca_file: Path | None = Field(
        default=None,
        description="Certificate authorities (PEM) for https; those of the system if not given.",
        examples=["/etc/ssl/prometheus-ca.pem"],
    )
    timeout: Duration = Field(
        default=120.0,
        gt=0,
        description="Longest wait for one query. Its whole answer must come in twice that time.",
        examples=["120s"],
    )
    most_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1_000_000,
        description="Largest answer to one query, decompressed; where it is larger, a poll halves "
        "the span that it reads at a time. The default fits 100,000 pods.",
        examples=[268_435_456],
    )
    scrape_interval: Duration = Field(
        default=60.0,
        gt=0,
        description="The scrape interval to assume where samples are too few to tell.",
        examples=["60s"],
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        here = f"{PREFIX}PROMETHEUS__"
        if bool(self.user) != (self.password_file is not None):
            raise ValueError(f"{here}USER and {here}PASSWORD_FILE belong together")
        if bool(self.aws_region) != (self.aws_credentials_file is not None):
            raise ValueError(f"{here}AWS_REGION and {here}AWS_CREDENTIALS_FILE belong together")
        if self.client_key and not self.client_cert:
            raise ValueError(f"{here}CLIENT_KEY needs {here}CLIENT_CERT")
        return self


class PollSettings(Group):
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
