"""The charts in a real cluster: admission, readiness, upgrades, rollbacks, what stays."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chart.helm import CHARTS as FOLDERS
from tests.cluster.conftest import Cluster, namespace_manifest
from tests.cluster.release import CHARTS, Release, earlier
from tests.hub.process import wait_for

CRDS = {
    "servicemonitors.monitoring.coreos.com": "v1",
    "prometheusrules.monitoring.coreos.com": "v1",
    "certificates.cert-manager.io": "v1",
    "httproutes.gateway.networking.k8s.io": "v1",
}
KINDS = {
    "servicemonitors": "ServiceMonitor",
    "prometheusrules": "PrometheusRule",
    "certificates": "Certificate",
    "httproutes": "HTTPRoute",
}


def minimal(chart: str) -> Path:
    return FOLDERS / chart / "ci" / "minimal-values.yaml"


@pytest.fixture(scope="module", autouse=True)
def operators_kinds(cluster: Cluster) -> None:
    """The kinds that the operators of Prometheus and of certificates bring."""
    for name, version in CRDS.items():
        plural, _, group = name.partition(".")
        kind = KINDS[plural]
        whole = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        spec = {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": whole},
                }
            ],
        }
        cluster.client.apply(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {
                    "name": name,
                    "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
                },
                "spec": spec,
            }
        )


@pytest.fixture
def strict(cluster: Cluster, namespace: str) -> str:
    """A namespace in which admission looks closely: restricted pods, a quota, limits."""
    cluster.client.apply(namespace_manifest(namespace, enforce="restricted", warn="restricted"))
    for kind, spec in (
        ("ResourceQuota", {"hard": {"requests.memory": "4Gi", "pods": "20"}}),
        (
            "LimitRange",
            {"limits": [{"type": "Container", "max": {"memory": "2Gi"}, "default": {"cpu": "1"}}]},
        ),
    ):
        metadata = {"name": "tests", "namespace": namespace}
        manifest = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
        cluster.client.apply(manifest)
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    cluster.client.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny", "namespace": namespace},
            "spec": deny,
        }
    )
    return namespace


@pytest.fixture
def release(cluster: Cluster, strict: str) -> Release:
    return Release("egi", strict, cluster.kubeconfig, cluster.client)


@pytest.fixture(params=CHARTS)
def chart(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def available(release: Release) -> list[bool]:
    return [
        any(
            one["type"] == "Available" and one["status"] == "True"
            for one in deployment["status"].get("conditions", [])
        )
        for deployment in release.deployments()
    ]


def refusals(release: Release) -> list[str]:
    """What controllers could not create, in the words of the API server."""
    path = f"/api/v1/namespaces/{release.namespace}/events"
    return [
        event["message"]
        for event in release.client.list(path)
        if event["type"] == "Warning" and event["reason"].startswith("FailedCreate")
    ]


def test_a_chart_installs_where_admission_is_strict_and_gets_ready(
    release: Release, chart: str
) -> None:
    release.deploy(FOLDERS / chart, minimal(chart))
    assert available(release) == [True]
    assert refusals(release) == []


def test_a_chart_goes_up_from_each_earlier_version_and_back_again(
    release: Release, chart: str
) -> None:
    versions = earlier(chart)
    assert versions
    for package in versions:
        release.deploy(package, minimal(chart))
        before = kept(release)
        release.deploy(FOLDERS / chart, minimal(chart))
        assert available(release) == [True]
        assert before.items() <= kept(release).items(), "an upgrade keeps secrets and volumes"
        release.rollback(1)
        assert available(release) == [True]
        release.deploy(FOLDERS / chart, minimal(chart))
        assert available(release) == [True]
        release.uninstall()
    assert release.deployments() == []
    assert refusals(release) == []


def kept(release: Release) -> dict[str, Any]:
    """Values of Secrets, and which volume each claim has."""
    secrets = release.objects("secrets")
    claims = release.objects("persistentvolumeclaims")
    found: dict[str, Any] = {f"secret {one['metadata']['name']}": one["data"] for one in secrets}
    return found | {
        f"claim {one['metadata']['name']}": (one["metadata"]["uid"], one["spec"].get("volumeName"))
        for one in claims
    }


def test_what_was_accounted_outlives_its_release_and_is_found_again(release: Release) -> None:
    chart = FOLDERS / "notebooks-accounting"
    release.deploy(chart, minimal(chart.name))
    (before,) = release.objects("persistentvolumeclaims")
    release.uninstall()
    (there,) = release.objects("persistentvolumeclaims")
    assert there["metadata"]["uid"] == before["metadata"]["uid"]
    assert "deletionTimestamp" not in there["metadata"]
    release.deploy(chart, minimal(chart.name))
    (again,) = release.objects("persistentvolumeclaims")
    assert again["metadata"]["uid"] == before["metadata"]["uid"]


def test_accounting_moves_to_postgresql_with_two_pods_and_back(
    release: Release, cluster: Cluster
) -> None:
    """The Deployment's strategy changes there and back: Recreate has no rollingUpdate."""
    chart = FOLDERS / "notebooks-accounting"
    for name in ("accounting-db", "hostcert"):
        secret(cluster, release.namespace, name)
    release.deploy(chart, minimal(chart.name))
    assert strategies(release) == ["Recreate"]
    release.deploy(chart, chart / "ci" / "postgresql-values.yaml")
    assert strategies(release) == ["RollingUpdate"]
    assert [one["status"]["readyReplicas"] for one in release.deployments()] == [2]
    release.deploy(chart, minimal(chart.name))
    assert strategies(release) == ["Recreate"]
    release.rollback(2)
    assert strategies(release) == ["RollingUpdate"]
    release.rollback(1)
    assert strategies(release) == ["Recreate"]


def strategies(release: Release) -> list[str]:
    return [one["spec"]["strategy"]["type"] for one in release.deployments()]


def secret(cluster: Cluster, namespace: str, name: str) -> None:
    metadata = {"name": name, "namespace": namespace}
    data = {"key": "made up", "password": "made up", "tls.crt": "made up", "tls.key": "made up"}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    cluster.client.apply(manifest)


def test_every_setting_of_a_chart_is_taken_by_the_api_server(release: Release, chart: str) -> None:
    """Without waiting: what these values name, such as a claim, is not there."""
    folder = FOLDERS / chart
    done = release.dry_run(folder, folder / "ci" / "everything-values.yaml")
    assert done.returncode == 0, done.stderr


def test_a_push_is_fired_by_its_schedule(release: Release) -> None:
    chart = FOLDERS / "notebooks-accounting"
    release.deploy(chart, minimal(chart.name), push__schedule='"* * * * *"')
    (cronjob,) = release.objects("cronjobs", "apis/batch/v1")
    job = release.job_of(cronjob["metadata"]["name"])
    assert job["status"]["succeeded"] == 1
    assert refusals(release) == []


def test_a_restore_runs_again_with_other_arguments(release: Release) -> None:
    chart = FOLDERS / "notebooks-backup"
    for arguments in ('["--user","alice@example.org"]', '["--user","bob@example.org"]'):
        release.deploy(chart, minimal(chart.name), restore__arguments=arguments)
        wait_for(
            lambda: any(
                job["status"].get("succeeded")
                for job in release.objects("jobs", "apis/batch/v1")
                if job["metadata"]["labels"]["app.kubernetes.io/component"] == "restore"
            ),
            "the restore",
        )
    assert refusals(release) == []


def test_a_pod_that_asks_for_too_much_is_refused_in_this_namespace(
    cluster: Cluster, strict: str
) -> None:
    """The tests above would not see admission at all if it were switched off."""
    path = f"/api/v1/namespaces/{strict}/pods"
    box: dict[str, Any] = {"name": "box", "image": "example.org/box:1"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "box"}}
    answer = cluster.client.http.post(path, json={**pod, "spec": {"containers": [box]}})
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert "violates PodSecurity" in answer.json()["message"]
