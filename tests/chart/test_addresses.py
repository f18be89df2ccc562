"""Names, ports and paths of an operator's own: the parts still find each other, or are refused.

Each refusal says the line to write, and with it the values are taken.
"""

import re
from pathlib import Path

import pytest

from tests.chart import helm
from tests.chart.helm import refusal, render
from tests.chart.umbrella import CHART, assembled

SERVICE = "jupyterhub.hub.services.accounting"
ALL = CHART / "ci" / "restricted-values.yaml"


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembled(tmp_path_factory.mktemp("umbrella"))


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (
            ("prometheus.server.service.servicePort=9090",),
            ["notebooks-accounting.prometheus.url: http://egi-prometheus-server:9090"],
        ),
        (
            ("prometheus.server.prefixURL=/prom",),
            ["notebooks-accounting.prometheus.url: http://egi-prometheus-server/prom"],
        ),
        (
            ("prometheus.server.baseURL=https://metrics.example.org/prom/",),
            ["notebooks-accounting.prometheus.url: http://egi-prometheus-server/prom"],
        ),
        (
            ("jupyterhub.hub.baseUrl=/nb/",),
            [
                "notebooks-monitoring.apiUrl: http://hub:8081/nb/hub/api",
                "notebooks-monitoring.baseUrl: /nb/",
                "notebooks-accounting.hub.apiUrl: http://hub:8081/nb/hub/api",
                "notebooks-accounting.hub.prefix: /nb/services/accounting/",
            ],
        ),
        (
            (
                "jupyterhub.hub.baseUrl=/nb/",
                "notebooks-monitoring.enabled=false",
                "notebooks-accounting.hub.origin=own",
                "notebooks-accounting.hub.publicUrl=https://notebooks.example.org/hub",
                f"{SERVICE}.oauth_redirect_uri=https://accounting.notebooks.example.org/oauth_callback",
            ),
            [
                "notebooks-accounting.hub.apiUrl: http://hub:8081/nb/hub/api",
                "notebooks-accounting.hub.publicUrl: https://notebooks.example.org/nb/hub",
            ],
        ),
        (
            ("jupyterhub.fullnameOverride=lab",),
            [
                "notebooks-monitoring.apiUrl: http://lab-hub:8081/hub/api",
                "notebooks-accounting.hub.apiUrl: http://lab-hub:8081/hub/api",
            ],
        ),
    ],
    ids=lambda given: given[0],
)
def test_another_address_is_refused_with_the_lines_to_write(
    chart: Path, given: tuple[str, ...], lines: list[str]
) -> None:
    said = refusal(chart, ALL, settings=given, release="egi")
    assert re.findall(r"write (\S+: [^\s,]+)", said) == lines
    written = (line.replace(": ", "=", 1) for line in lines)
    assert render(chart, ALL, settings=(*given, *written))


@pytest.mark.parametrize("part", ["accounting", "monitoring", "backup"])
def test_a_part_of_another_name_is_scraped_or_refused(chart: Path, part: str) -> None:
    """Its alert of absence would never end otherwise."""
    name = f"notebooks-{part}"
    given = [f"{name}.fullnameOverride=other"]
    if part != "backup":
        port = {"accounting": 8000, "monitoring": 8100}[part]
        given.append(f"jupyterhub.hub.services.{part}.url=http://other:{port}")
    said = refusal(chart, ALL, settings=tuple(given))
    secret = "other-metrics" if part == "backup" else "other"
    assert f"name is {secret}, and Prometheus has another token" in said
    assert f"prometheus.scrapeConfigs.{name}.relabel_configs, with regex: other" in said
    job = f"prometheus.scrapeConfigs.{name}"
    given += [
        f"{job}.relabel_configs[0].source_labels[0]=__meta_kubernetes_service_name",
        f"{job}.relabel_configs[0].regex=other",
        f"{job}.relabel_configs[0].action=keep",
        "prometheus.server.extraVolumes[0].name=notebooks-tokens",
    ]
    secrets = ("notebooks-accounting", "notebooks-monitoring", "notebooks-backup-metrics", secret)
    given += [
        f"prometheus.server.extraVolumes[0].projected.sources[{n}].secret.name={one}"
        for n, one in enumerate(secrets)
    ]
    assert render(chart, ALL, settings=tuple(given))


def test_a_prometheus_without_a_service_is_refused(chart: Path) -> None:
    given = ("prometheus.server.service.enabled=false",)
    assert "prometheus.server.service.enabled is not true" in refusal(chart, ALL, settings=given)


def test_a_backup_without_exporter_needs_nobody_that_scrapes_it(chart: Path) -> None:
    given = ("notebooks-backup.exporter.enabled=false", "notebooks-backup.fullnameOverride=other")
    made: list[helm.Manifest] = render(chart, ALL, settings=given)
    assert made
