"""What each service account may do: enough, and no more."""

from typing import Any

import httpx
import pytest

from tests.chart.helm import CHARTS as FOLDERS
from tests.cluster.conftest import Cluster
from tests.cluster.release import Release
from tests.kubernetes.client import Client

# What every account may do: ask who it is and what it may do, read public certificates.
_ANYBODY = {
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "selfsubjectreviews",
    "clustertrustbundles",  # public certificates
}

Rule = tuple[str, str, tuple[str, ...], tuple[str, ...]]
"""Group, resource, verbs, names of objects."""

EXPECTED: dict[str, set[Rule]] = {
    "notebooks-accounting": set(),
    "notebooks-monitoring": set(),
    "notebooks-backup": {
        ("", "persistentvolumeclaims", ("create", "list", "patch"), ()),
        ("", "pods", ("create", "delete", "get", "list"), ()),
        ("", "configmaps", ("get", "patch"), ("egi-notebooks-backup-status",)),
    },
}


@pytest.fixture(params=EXPECTED)
def installed(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Release:
    """A release of each chart, with its smallest values."""
    chart = FOLDERS / request.param
    release = Release("egi", namespace, cluster.kubeconfig, cluster.client)
    release.deploy(chart, chart / "ci" / "minimal-values.yaml")
    return release


def account(release: Release) -> str:
    """The service account that the release's pods run as."""
    names = {
        deployment["spec"]["template"]["spec"].get("serviceAccountName", "default")
        for deployment in release.deployments()
    }
    names |= {
        job["spec"]["jobTemplate"]["spec"]["template"]["spec"].get("serviceAccountName", "default")
        for job in release.objects("cronjobs", "apis/batch/v1")
    }
    (name,) = names
    return str(name)


def rights(client: Client, namespace: str) -> set[Rule]:
    """All that a client may do in a namespace, as the API server says."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    rules: list[dict[str, Any]] = client.post(path, review)["status"]["resourceRules"]
    asked = {
        (group, resource, tuple(sorted(rule["verbs"])), tuple(rule.get("resourceNames") or ()))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    return {rule for rule in asked if rule[1] not in _ANYBODY}


def test_a_chart_s_account_may_do_what_its_program_does_and_nothing_else(
    installed: Release, cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    expected = EXPECTED[request.node.callspec.params["installed"]]
    user = f"system:serviceaccount:{installed.namespace}:{account(installed)}"
    with Client(cluster.kubeconfig, user) as client:
        assert rights(client, installed.namespace) == expected
        assert rights(client, "default") == set()


@pytest.mark.parametrize("installed", ["notebooks-backup"], indirect=True)
def test_the_backup_s_account_reads_no_secret_and_changes_no_other_status(
    installed: Release, cluster: Cluster
) -> None:
    space = f"/api/v1/namespaces/{installed.namespace}"
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"{space}/serviceaccounts/{account(installed)}/token"
    token = cluster.client.post(path, wanted)["status"]["token"]
    assert token
    user = f"system:serviceaccount:{installed.namespace}:{account(installed)}"
    with Client(cluster.kubeconfig, user) as client:
        assert client.list(f"{space}/persistentvolumeclaims") == []
        status = f"{space}/configmaps/egi-notebooks-backup-status"
        assert client.patch(status, {"data": {"a": "b"}}, "merge")["data"]["a"] == "b"
        for method, place in (
            ("GET", "secrets"),
            ("GET", "configmaps"),
            ("GET", "configmaps/kube-root-ca.crt"),
            ("DELETE", "persistentvolumeclaims/home"),
            ("POST", "pods/egi/exec"),
        ):
            answer = client.http.request(method, f"{space}/{place}")
            assert answer.status_code == httpx.codes.FORBIDDEN, place
