"""The charts of backup and monitoring: settings, rights, refusals, alerts."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.backup import cli as backup_cli
from hub.backup.settings import BackupSettings
from hub.monitor.settings import MonitorSettings
from hub.program.settings import ProgramSettings, load
from tests.chart import helm, manifests
from tests.chart.helm import CHARTS, find, refusal, render

BACKUP, MONITORING = CHARTS / "notebooks-backup", CHARTS / "notebooks-monitoring"


def case(chart: Path, name: str) -> Path:
    return chart / "ci" / f"{name}-values.yaml"


def settings(made: list[helm.Manifest], model: type[ProgramSettings], folder: Path) -> Any:
    """What the program loads from the chart's settings file."""
    maps = [m for m in made if m["kind"] == "ConfigMap" and "settings.yaml" in m.get("data", {})]
    path = folder / "settings.yaml"
    path.write_text(maps[0]["data"]["settings.yaml"])
    return load(model, path)


def test_the_backup_program_reads_what_the_chart_writes(tmp_path: Path) -> None:
    made = render(BACKUP, case(BACKUP, "everything"))
    found = settings(made, BackupSettings, tmp_path)
    expected = BackupSettings(
        namespace="jupyterhub",
        claims="claim-.+",
        repository="s3:https://s3.example.org/notebooks",
        options=("s3.storage-class=STANDARD_IA",),
        exclude=("lost+found", "*.tmp"),
        include=("work",),
        keep={"daily": 3, "monthly": 6},
        check_parts=20,
        lock_wait=3600,
        parallel=8,
        volume_timeout=7200,
        start_timeout=300,
        drill_claims=5,
        image=f"registry.example.org/backup@sha256:{1:064}",
        secret_name="backup",
        user_id=1001,
        group_id=1001,
        worker={
            "priorityClassName": "low",
            "tolerations": [{"key": "users", "operator": "Exists"}],
            "imagePullSecrets": [{"name": "registry"}],
        },
        worker_resources={"limits": {"memory": "2Gi"}},
        status_configmap="the-backups-status",
    )
    assert found == expected
    assert settings(render(BACKUP, case(BACKUP, "minimal")), BackupSettings, tmp_path).keep == {
        "daily": 7,
        "weekly": 5,
        "monthly": 12,
    }


def test_the_monitor_reads_what_the_chart_writes(tmp_path: Path) -> None:
    made = render(MONITORING, case(MONITORING, "everything"))
    found = settings(made, MonitorSettings, tmp_path)
    assert found.model_dump(mode="json", exclude_defaults=True) == {
        "hub_url": "https://notebooks.example.org/base",
        "api_url": "http://hub:8081/base/hub/api",
        "api_token_file": "/run/secrets/notebooks-monitor/api-token",
        "user": "prober",
        "server": "hourly",
        "options": {"profile": "small"},
        "page": "tree",
        "cell": "print(1)",
        "answer": "1",
        "kernel": "python3",
        "interval": 1800,
        "start_deadline": 600,
        "page_deadline": 120,
        "kernel_deadline": 180,
        "stop_deadline": 240,
        "slow": 60,
        "binder_url": "https://binder.example.org",
        "stale": 7200,
        "history_file": "/var/lib/notebooks-monitor/monitor.db",
        "history_days": 30,
        "token_file": "/run/secrets/notebooks-monitor/probe-token",
        "open_status": True,
    }


@pytest.mark.parametrize("chart", [BACKUP, MONITORING], ids=lambda chart: chart.name)
def test_every_argument_is_one_that_the_program_has(chart: Path) -> None:
    programs = {"backup": backup_cli.app, "init": backup_cli.app, "exporter": backup_cli.app}
    known = {"serve", "run", "check", "drill", "init", "restore"}
    for pod in manifests.pods(render(chart, case(chart, "everything"))).values():
        for container in pod.get("initContainers", []) + pod["containers"]:
            assert container["args"][0] in known
            assert container["name"] in {*programs, "monitor"}


def test_the_backups_rights_are_the_ones_it_needs_and_only_its_jobs_have_them() -> None:
    made = render(BACKUP, case(BACKUP, "minimal"))
    rules = find(made, "Role")["rules"]
    granted = {(r["resources"][0], verb) for r in rules for verb in r["verbs"]}
    assert granted == {
        ("persistentvolumeclaims", "list"),
        ("persistentvolumeclaims", "create"),
        ("persistentvolumeclaims", "patch"),
        ("pods", "list"),
        ("pods", "get"),
        ("pods", "create"),
        ("pods", "delete"),
        ("configmaps", "get"),
        ("configmaps", "patch"),
    }
    exporter = find(made, "Deployment")["spec"]["template"]["spec"]
    mounted = {name for volume in exporter["volumes"] for name in volume}
    assert "projected" not in mounted  # no account's token
    assert exporter["automountServiceAccountToken"] is False


def test_a_restore_is_a_job_with_a_name_of_its_own_whole_pod() -> None:
    """A Job cannot be changed: whatever is different needs another name."""
    jobs = [
        find(render(BACKUP, case(BACKUP, "minimal"), settings=given), "Job")
        for given in (
            ("restore.arguments={--all}",),
            ("restore.arguments={--user,alice}",),
            ("restore.arguments={--user,alice}", "restore.id=again"),
            ("restore.arguments={--user,alice}", "image.tag=v9"),
            ("restore.arguments={--user,alice}", "podLabels.a=b"),
        )
    ]
    assert len({job["metadata"]["name"] for job in jobs}) == len(jobs)
    container = jobs[1]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["restore", "--user", "alice"]


@pytest.mark.parametrize(
    ("chart", "given", "said"),
    [
        (BACKUP, ("repository=",), "repository is not set: restic's address"),
        (BACKUP, ("password=",), "keep a copy outside of this cluster"),
        (BACKUP, ("existingSecret=x",), "leave one of them"),
        (BACKUP, ("repository=rest:http://me:hidden@h/",), "credentials.repository"),
        (BACKUP, ("chekParts=3",), "chekParts: did you mean checkParts?"),
        (MONITORING, ("hubUrl=",), "for example 'hubUrl: https://notebooks.example.org'"),
        (MONITORING, ("server=Big_One",), "server is no name of a server"),
    ],
)
def test_wrong_values_are_refused_with_the_cure(
    chart: Path, given: tuple[str, ...], said: str
) -> None:
    refused = refusal(chart, case(chart, "minimal"), settings=given)
    assert said in refused
    assert "hidden" not in refused


@pytest.mark.parametrize("chart", [BACKUP, MONITORING], ids=lambda chart: chart.name)
def test_prometheus_takes_the_alerts(chart: Path, tmp_path: Path) -> None:
    rule = find(render(chart, case(chart, "everything")), "PrometheusRule")
    path = tmp_path / "alerts.yaml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("chart", [BACKUP, MONITORING], ids=lambda chart: str(chart.name))
def test_policy_and_budget_are_for_the_service_and_its_port(chart: Path) -> None:
    made = render(chart, case(chart, "everything"))
    template = find(made, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    policy, budget = find(made, "NetworkPolicy")["spec"], find(made, "PodDisruptionBudget")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels
    spared = budget["selector"]["matchLabels"].items()
    assert spared <= labels
    (container,) = template["spec"]["containers"]
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert opened == {port["name"] for port in container["ports"]}
    for job in (one for one in made if one["kind"] == "CronJob"):
        pods = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"].items()
        assert not spared <= pods, "a job that ends by itself keeps no node from being drained"
