"""Settings of what is measured, and how."""

from pathlib import Path

from pydantic import Field

from accounting.config.values import Group, Label, Text
from notebooks_settings.values import Duration, Pattern, Url


class PrometheusSettings(Group):
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
