"""The stand-in against the real command-line clients: kubectl and Helm."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.standin import KubernetesStandin

Run = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 120


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def run(cluster: KubernetesStandin, programs: tuple[Path, Path]) -> Run:
    kubectl, helm = programs
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "HOME": str(cluster.folder),
    }

    def run(
        program: str, *arguments: str | Path, given: str = "", fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        path = {"kubectl": kubectl, "helm": helm}[program]
        done = subprocess.run(
            [path, *map(str, arguments)],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert bool(done.returncode) is fails, done.stderr
        return done

    return run


def deployment(**container: object) -> str:
    name = {"app": "web"}
    template = {
        "metadata": {"labels": name},
        "spec": {"containers": [{"name": "web", "image": "example.org/web:1", **container}]},
    }
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {"selector": {"matchLabels": name}, "template": template},
        }
    )


def test_kubectl_discovers_the_kinds_and_their_short_names(run: Run) -> None:
    kinds = run("kubectl", "api-resources", "-o", "name").stdout.split()
    assert {"pods", "deployments.apps", "cronjobs.batch", "storageclasses.storage.k8s.io"} <= {
        *kinds
    }
    names = run("kubectl", "get", "ns", "-o", "name").stdout.split()
    assert {"namespace/default", "namespace/hub"} <= set(names)


def test_kubectl_starts_a_pod_waits_for_it_and_deletes_it(
    run: Run, cluster: KubernetesStandin
) -> None:
    run("kubectl", "run", "one", "--image=example.org/one")
    run("kubectl", "wait", "--for=condition=Ready", "pod/one", "--timeout=60s")
    assert "Scheduled" in run("kubectl", "describe", "pod", "one").stdout
    run("kubectl", "delete", "pod", "one")  # waits until it is gone
    assert cluster.find("pods", "one") is None


def test_kubectl_creates_labels_and_selects(run: Run) -> None:
    run("kubectl", "create", "configmap", "settings", "--from-literal=a=1")
    run("kubectl", "create", "secret", "generic", "token", "--from-literal=key=värde")
    run("kubectl", "label", "configmap", "settings", "kind=small")
    found = json.loads(run("kubectl", "get", "cm", "-l", "kind in (small)", "-o", "json").stdout)
    assert [item["data"] for item in found["items"]] == [{"a": "1"}]
    value = run("kubectl", "get", "secret", "token", "-o", "jsonpath={.data.key}").stdout
    assert value == "dsOkcmRl"


@pytest.mark.parametrize("how", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_an_applied_change_merges_what_is_keyed_and_drops_what_is_no_longer_there(
    run: Run, cluster: KubernetesStandin, how: tuple[str, ...]
) -> None:
    first = deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    run("kubectl", "apply", *how, "-f", "-", given=first)
    later = deployment(env=[{"name": "B", "value": "3"}], workingDir="/srv")
    run("kubectl", "apply", *how, "-f", "-", given=later)
    run("kubectl", "rollout", "status", "deployment/web", "--timeout=60s")
    (container,) = cluster.get("deployments", "web")["spec"]["template"]["spec"]["containers"]
    assert container == {
        "name": "web",
        "image": "example.org/web:1",
        "env": [{"name": "B", "value": "3"}],
        "workingDir": "/srv",
    }
    run("kubectl", "delete", "deployment", "web")


def test_kubectl_is_told_why_an_object_is_refused(run: Run) -> None:
    misspelt = json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dota": {}}
    )
    assert "dota" in run("kubectl", "create", "-f", "-", given=misspelt, fails=True).stderr
    missing = run("kubectl", "get", "secret", "missing", fails=True).stderr
    assert missing == 'Error from server (NotFound): secrets "missing" not found\n'
    unknown = run("kubectl", "-n", "nowhere", "create", "configmap", "a", fails=True).stderr
    assert 'namespaces "nowhere" not found' in unknown


def test_helm_installs_upgrades_tests_and_removes_a_chart_that_looks_things_up(
    run: Run, cluster: KubernetesStandin, tmp_path: Path
) -> None:
    chart = tmp_path / "demo"
    run("helm", "create", chart)
    (chart / "templates" / "kept.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: kept\ndata:\n"
        '{{- $old := lookup "v1" "Secret" .Release.Namespace "kept" }}\n'
        "  key: {{ if $old }}{{ $old.data.key }}{{ else }}{{ randAlphaNum 20 | b64enc }}{{ end }}\n"
    )
    run("helm", "install", "demo", chart, "--wait", "--timeout", "60s")
    key = cluster.get("secrets", "kept")["data"]["key"]
    run("helm", "upgrade", "demo", chart, "--set", "replicaCount=3", "--wait", "--timeout", "60s")
    assert cluster.get("deployments", "demo")["spec"]["replicas"] == 3
    assert cluster.get("secrets", "kept")["data"]["key"] == key
    run("helm", "test", "demo", "--timeout", "60s")
    (release,) = json.loads(run("helm", "list", "-o", "json").stdout)
    assert (release["status"], release["revision"]) == ("deployed", "2")
    run("helm", "uninstall", "demo", "--wait", "--timeout", "60s")
    assert cluster.find("deployments", "demo") is None
    assert cluster.find("secrets", "kept") is None
