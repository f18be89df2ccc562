"""The chart egi-notebooks: what its Prometheus scrapes, and its alerts."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm, manifests, upstream
from tests.chart.helm import find, render
from tests.chart.umbrella import (
    BACKUP,
    MONITORING,
    PRODUCTION,
    values_of,
)


def test_prometheus_scrapes_every_part_with_its_token_and_has_its_alerts(
    chart: Path, tmp_path: Path
) -> None:
    made = render(chart, PRODUCTION, settings=(*MONITORING, *BACKUP))
    prometheus = values_of(made, "prometheus")
    tokens: dict[str, tuple[str, str]] = {}
    for volume in prometheus["server"]["extraVolumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            (item,) = source["secret"]["items"]
            tokens[item["path"]] = (source["secret"]["name"], item["key"])
    jobs = {
        name: about
        for name, about in prometheus["scrapeConfigs"].items()
        if name.startswith("notebooks-")
    }
    assert set(jobs) == {f"notebooks-{part}" for part in tokens}
    for part, (secret, key) in tokens.items():
        assert key in find(made, "Secret", secret)["data"]
        (port,) = find(made, "Service", f"notebooks-{part}")["spec"]["ports"]
        relabelled = {
            r["source_labels"][0]: r["regex"]
            for r in jobs[f"notebooks-{part}"]["relabel_configs"]
            if r.get("action") == "keep"
        }
        assert relabelled == {
            "__meta_kubernetes_service_name": f"notebooks-{part}",
            "__meta_kubernetes_endpointslice_port_name": port["name"],
        }
    check([{"job_name": name, **about} for name, about in jobs.items()], tmp_path)
    alerts = find(made, "ConfigMap", "egi-notebooks-alerts")["data"]
    assert len(alerts) == 3
    for name, text in alerts.items():
        rules = tmp_path / name
        rules.write_text(text)
        promtool("check", "rules", rules)
        assert 'namespace="hub"' in text
        assert 'namespace=~".*"' not in text


@pytest.mark.skipif(not upstream.is_real(), reason="needs the real charts: UPSTREAM_CHARTS")
def test_the_real_prometheus_mounts_what_its_configuration_names(
    chart: Path, tmp_path: Path
) -> None:
    made = render(chart, PRODUCTION)
    config = find(made, "ConfigMap", "egi-prometheus-server")["data"]["prometheus.yml"]
    check(yaml.safe_load(config)["scrape_configs"], tmp_path)
    jobs = {job["job_name"]: job for job in yaml.safe_load(config)["scrape_configs"]}
    assert {"kubernetes-nodes-cadvisor", "kubernetes-service-endpoints"} <= set(jobs)
    assert "/etc/notebooks/alerts/*.yaml" in yaml.safe_load(config)["rule_files"]
    pod = manifests.pods(made)["Deployment egi-prometheus-server"]
    for container in pod["containers"]:
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/etc/notebooks/alerts" in mounted
    assert "--watched-dir=/etc/notebooks/alerts" in str(pod)


def check(scrapes: list[dict[str, Any]], folder: Path) -> None:
    """Have promtool read scrape jobs. Debian's is built without Kubernetes' discovery."""
    for job in scrapes:
        for found in job.pop("kubernetes_sd_configs", []):
            assert found["role"] in {"node", "pod", "service", "endpoints", "endpointslice"}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": scrapes}))
    promtool("check", "config", "--syntax-only", file)


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("release", ["egi", "prometheus", "my-prometheus"])
def test_accounting_asks_the_prometheus_of_its_own_release(chart: Path, release: str) -> None:
    made = render(chart, PRODUCTION, release=release)
    settings = find(made, "ConfigMap", "notebooks-accounting")["data"]["settings.yaml"]
    url = yaml.safe_load(settings)["prometheus"]["url"]
    if upstream.is_real():
        assert find(made, "Service", url.removeprefix("http://"))
    assert url.startswith(f"http://{release}")


def test_kube_state_metrics_shows_what_the_doctor_asks_for(
    production: list[helm.Manifest],
) -> None:
    from accounting.doctor import ALLOWLIST  # noqa: PLC0415 - slow, and only used here
    from accounting.doctor.volumes import CLAIMS_ALLOWLIST  # noqa: PLC0415 - the same

    allowed, claims = values_of(production, "prometheus")["kube-state-metrics"][
        "metricAnnotationsAllowList"
    ]
    assert f"--metric-annotations-allowlist={allowed}" == ALLOWLIST
    assert claims == CLAIMS_ALLOWLIST
