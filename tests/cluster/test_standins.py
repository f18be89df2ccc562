"""The stand-ins answer as the real programs do: the same requests are asked of both."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from accounting.simulation.exporters.exposition import expose
from accounting.simulation.exporters.state_metrics import FAMILIES
from accounting.simulation.world.cluster import Cluster as Simulated
from accounting.simulation.world.features import Features
from tests.cluster.conftest import Cluster, namespace_manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.site import run_state_metrics
from tests.hub.process import wait_for
from tests.kubernetes.client import Client
from tests.kubernetes.standin import KubernetesStandin

SPACE = "alike"
HERE = f"/api/v1/namespaces/{SPACE}"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "jupyter-alice",
        "labels": {"component": "singleuser-server", "app": "jupyterhub", "release": "notebooks"},
        "annotations": {
            "hub.jupyter.org/username": "alice",
            "egi.eu/primary_group": "vo.example.org",
            "egi.eu/flavor": "small",
        },
    },
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-alice"}}],
        "containers": [
            {
                "name": "notebook",
                "image": "example.org/lab:1",
                "volumeMounts": [{"name": "home", "mountPath": "/home"}],
                "resources": {
                    "requests": {"cpu": "1", "memory": "1Gi"},
                    "limits": {"cpu": "2", "memory": "2Gi"},
                },
            }
        ],
    },
}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "claim-alice", "labels": {"component": "singleuser-storage"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "token"},
    "type": "Opaque",
    "data": {"a": "Yg=="},
}


class Ask(NamedTuple):
    """One request; `body` is sent as JSON, a patch by its kind."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    patch: str = ""


# In this order: later requests meet what earlier ones left.
REQUESTS = {
    "a claim": Ask("POST", f"{HERE}/persistentvolumeclaims", CLAIM),
    "a claim that is there": Ask("POST", f"{HERE}/persistentvolumeclaims", CLAIM),
    "a secret": Ask("POST", f"{HERE}/secrets", SECRET),
    "a secret that is there": Ask("POST", f"{HERE}/secrets", SECRET),
    "a secret read": Ask("GET", f"{HERE}/secrets/token"),
    "a secret that is not there": Ask("GET", f"{HERE}/secrets/nobody"),
    "a secret replaced": Ask("PUT", f"{HERE}/secrets/token", {**SECRET, "data": {"a": "Yw=="}}),
    "a secret replaced that is not there": Ask(
        "PUT",
        f"{HERE}/secrets/nobody",
        {**SECRET, "metadata": {"name": "nobody"}},
    ),
    "a secret replaced that changed meanwhile": Ask(
        "PUT",
        f"{HERE}/secrets/token",
        {**SECRET, "metadata": {"name": "token", "resourceVersion": "1"}},
    ),
    "a secret patched": Ask("PATCH", f"{HERE}/secrets/token", {"data": {"b": "ZA=="}}, "merge"),
    "a secret replaced under another name": Ask(
        "PUT", f"{HERE}/secrets/token", {**SECRET, "metadata": {"name": "other"}}
    ),
    "secrets listed": Ask("GET", f"{HERE}/secrets"),
    "secrets by a label that none has": Ask("GET", f"{HERE}/secrets?labelSelector=a%3Db"),
    "a bad selector": Ask("GET", f"{HERE}/secrets?labelSelector=%21%21"),
    "a pod": Ask("POST", f"{HERE}/pods", POD),
    "a pod that is there": Ask("POST", f"{HERE}/pods", POD),
    "a pod without containers": Ask(
        "POST",
        f"{HERE}/pods",
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "empty"},
            "spec": {"containers": []},
        },
    ),
    "a pod with a bad name": Ask(
        "POST", f"{HERE}/pods", {**POD, "metadata": {"name": "UPPER_case"}}
    ),
    "pods listed": Ask("GET", f"{HERE}/pods?labelSelector=component%3Dsingleuser-server"),
    "a pod that is not there, deleted": Ask("DELETE", f"{HERE}/pods/nobody"),
    "a kind that is not there": Ask("GET", f"{HERE}/wonders"),
    "a namespace that is not there": Ask("POST", "/api/v1/namespaces/nowhere/secrets", SECRET),
    "a method that is not allowed": Ask("PUT", f"{HERE}/pods", POD),
    "a bad body": Ask("POST", f"{HERE}/secrets", {"apiVersion": "v1", "kind": "Pod"}),
    "a secret deleted": Ask("DELETE", f"{HERE}/secrets/token"),
    "events": Ask("GET", f"{HERE}/events"),
    "the version": Ask("GET", "/version"),
}

OF_A_RUNNING_POD = ("pods listed", "events")
"""Asked once the pod runs in both: a pod that waits says less, and either may be the faster."""


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("standin")
    with (
        KubernetesStandin(folder, namespaces=(SPACE,)) as running,
        Client(running.kubeconfig) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def both(
    cluster: Cluster, standin: Client
) -> Iterator[dict[str, tuple[httpx.Response, httpx.Response]]]:
    """All answers: the real one, and the stand-in's."""
    settle(cluster.client, SPACE)
    answers = {}
    for name, wanted in REQUESTS.items():
        if name in OF_A_RUNNING_POD:
            for client in (cluster.client, standin):
                wait_for(lambda client=client: runs(client), "a running pod")  # type: ignore[misc]
        answers[name] = (ask(cluster.client, wanted), ask(standin, wanted))
    yield answers
    cluster.client.delete(f"/api/v1/namespaces/{SPACE}")


def runs(client: Client) -> bool:
    """Whether the pod of the requests runs, and an event has said so."""
    pod = client.get(f"{HERE}/pods/jupyter-alice")
    started = client.list(f"{HERE}/events", fieldSelector="reason=Started")
    return pod["status"].get("phase") == "Running" and bool(started)


def settle(client: Client, space: str) -> str:
    """A namespace in which pods can be made; its path."""
    client.apply(namespace_manifest(space))
    here = f"/api/v1/namespaces/{space}"
    account = f"{here}/serviceaccounts/default"
    wait_for(lambda: client.find(account) is not None, "the default service account")
    return here


def ask(client: Client, wanted: Ask) -> httpx.Response:
    headers = {"Content-Type": f"application/{wanted.patch}-patch+json"} if wanted.patch else None
    return client.http.request(wanted.method, wanted.path, json=wanted.body, headers=headers)


def shape(document: Any, path: str = "") -> set[str]:
    """The paths of a document with the kinds of their values; items of a list are one."""
    if isinstance(document, dict):
        return {one for key, value in document.items() for one in shape(value, f"{path}.{key}")}
    if isinstance(document, list):
        return {one for value in document for one in shape(value, f"{path}[]")}
    return {f"{path} {type(document).__name__}"}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_stand_in_of_the_api_answers_with_the_same_status(
    both: dict[str, tuple[httpx.Response, httpx.Response]], name: str
) -> None:
    real, ours = both[name]
    assert ours.status_code == real.status_code, (real.text, ours.text)


@pytest.mark.parametrize("name", REQUESTS)
def test_the_stand_in_of_the_api_says_nothing_that_the_real_one_does_not(
    both: dict[str, tuple[httpx.Response, httpx.Response]], name: str
) -> None:
    real, ours = both[name]
    if real.is_error:
        said = ("kind", "apiVersion", "status", "reason", "code")
        assert {key: ours.json().get(key) for key in said} == {
            key: real.json().get(key) for key in said
        }
        return
    assert shape(ours.json()) - shape(real.json()) - ALLOWED == set()


# The stand-in's namespaces hold no ConfigMap of the cluster, and its claims are bound at once.
ALLOWED = {
    ".items[].metadata.generateName str",
    ".spec.volumeName str",
    ".status.phase str",
    ".status.capacity.storage str",
    ".status.accessModes[] str",
    ".metadata.finalizers[] str",
}


def labels_by_family(text: str, where: str) -> dict[str, set[frozenset[str]]]:
    """For each family, the sets of label names of the lines that have this piece in them."""
    found: dict[str, set[frozenset[str]]] = {family: set() for family in FAMILIES}
    for line in text.splitlines():
        family, _, rest = line.partition("{")
        if family in found and where in rest:
            found[family].add(frozenset(re.findall(r'(\w+)="', rest)))
    return found


# No pod completed here, none has init containers, kube-scheduler tells what pods request, and nodes
# are in no namespace.
UNTOLD = {
    "kube_node_status_condition",
    "kube_pod_completion_time",
    "kube_pod_init_container_info",
    "kube_pod_init_container_resource_requests",
    "kube_pod_init_container_resource_limits",
    "kube_pod_resource_request",
    "kube_pod_resource_limit",
}


def test_the_simulated_kube_state_metrics_has_the_labels_of_the_real_one(
    control_plane: ControlPlane,
) -> None:
    client = control_plane.client
    there = settle(client, "told")
    client.post(f"{there}/persistentvolumeclaims", CLAIM)
    client.post(f"{there}/pods", POD)
    path = f"{there}/pods/jupyter-alice"
    wait_for(lambda: client.get(path)["status"]["phase"] == "Running", "the pod")
    with run_state_metrics(control_plane) as address:

        def told() -> str:
            return httpx.get(f"http://{address}/metrics", timeout=60).text

        here = 'namespace="told"'
        spoken = [family for family in FAMILIES if family not in UNTOLD]
        wait_for(
            lambda: all(labels_by_family(told(), here)[family] for family in spoken),
            "every family in the metrics",
        )
        real = labels_by_family(told(), here)
    now = datetime.now(UTC).replace(microsecond=0)
    features = Features.none().but(claims=True)
    simulated = Simulated.generate(
        3, now - timedelta(hours=2), now + timedelta(hours=2), pods=30, features=features
    )
    emitter = next(one for one in simulated.emitters if one.kind != "cadvisor")
    text = expose(simulated, emitter, now.timestamp())
    ours = labels_by_family(text, f'namespace="{simulated.namespace}"')
    for family in spoken:
        assert ours[family] <= real[family], family
