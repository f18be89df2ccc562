"""A real Kubernetes on free loopback ports: etcd, API server, controllers, scheduler, kwok.

It starts in seconds, keeps everything in one folder, and ends by process id. Nodes and running
pods are kwok's: pods get addresses of the loopback and go through their life, and their usage can
be scraped in cAdvisor's form.
"""

import json
import secrets
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from accounting.simulation.stores.engines import free_port
from ssm.testing.authority import Authority, Issued, new_key, write_key
from tests.cluster.kubelets import stages, usage
from tests.cluster.programs import program as built
from tests.cluster.volumes import provision
from tests.hub.process import program, wait_for
from tests.kubernetes.client import Client

NODES = ("node-1", "node-2")
POD_ADDRESSES = "127.64.0.0/22"
"""Pods' addresses: of the loopback, so that a test can answer at them."""

_KUBELET = "example.org/kubelet"
"""The label of nodes that have a kubelet."""

_USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
_SOON = ("--default-not-ready-toleration-seconds=5", "--default-unreachable-toleration-seconds=5")
_QUICK = ("--node-monitor-period=1s", "--node-monitor-grace-period=10s")
"""A node that fell silent is noticed in seconds, where a cluster takes minutes."""


@dataclass
class ControlPlane:
    """A running cluster.

    Attributes:
        folder: everything it writes.
        url: the API server's.
        kubeconfig: an administrator's.
        usage_port: where kwok serves the nodes' usage: ``/metrics/nodes/NODE/metrics/cadvisor``.
        client: an administrator's, for the tests.
    """

    folder: Path
    url: str
    kubeconfig: Path
    usage_port: int
    client: Client
    _parts: "_Parts"

    def kubeconfig_of(self, namespace: str, account: str) -> Path:
        """A kubeconfig with a fresh token of a service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.client.post(path, wanted)["status"]["token"]
        return self._parts.kubeconfig(f"{namespace}-{account}", token, namespace)

    @contextmanager
    def without_api(self) -> Iterator[None]:
        """The API server is away for as long as the `with` lasts."""
        self._parts.stop_api()
        try:
            yield
        finally:
            self._parts.start_api()

    @contextmanager
    def without_node(self, name: str) -> Iterator[None]:
        """A node's kubelet says nothing for as long as the `with` lasts."""
        self.client.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {_KUBELET: None}}})
        try:
            yield
        finally:
            self.client.apply(_node(name))
            wait_for(lambda: self.client.is_node_ready(name), f"{name} again")

    def unready_since(self, name: str) -> float:
        """When the control plane took a node for lost (Unix seconds)."""
        conditions = self.client.get(f"/api/v1/nodes/{name}")["status"]["conditions"]
        (ready,) = (one for one in conditions if one["type"] == "Ready")
        assert ready["status"] != "True"
        return datetime.fromisoformat(ready["lastTransitionTime"]).timestamp()


class _Parts:
    """The processes, in the order in which they need each other."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.url = f"https://127.0.0.1:{free_port()}"
        self.usage_port = free_port()
        self._stack = stack
        self._api = ExitStack()
        self._tokens = {name: secrets.token_urlsafe(24) for name in _USERS}
        self._authority = Authority.create(folder / "pki")
        san = ("127.0.0.1", "kubernetes.default.svc")
        self._serving: Issued = self._authority.issue("localhost", key="ec", san=san, client=False)
        self._account_key = folder / "pki" / "accounts.key"
        write_key(self._account_key, new_key("rsa"))
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self.admin = self.kubeconfig("admin", self._tokens["admin"], "default")

    def start(self) -> None:
        self._start_etcd()
        self.start_api()
        self._stack.callback(self.stop_api)
        self._start_controllers()
        self._start_kwok()

    def kubeconfig(self, name: str, token: str, namespace: str) -> Path:
        cluster = {"server": self.url, "certificate-authority": str(self._authority.ca_file)}
        context = {"cluster": "tests", "user": name, "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests",
        }
        path = self.folder / f"{name.rpartition(':')[2]}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def _run(self, stack: ExitStack, name: str, ready: Any, *options: str) -> None:
        command = [str(built(name)), *options]
        stack.enter_context(program(name, command, self.folder / f"{name}.log", ready=ready))

    def _start_etcd(self) -> None:
        peer = f"http://127.0.0.1:{free_port()}"
        self._run(
            self._stack,
            "etcd",
            lambda: httpx.get(f"{self._etcd_url}/health", timeout=60).json()["health"] == "true",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def start_api(self) -> None:
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        lines = (
            f'{self._tokens[name]},{name},{name},"{group}"\n' for name, group in _USERS.items()
        )
        tokens.write_text("".join(lines))
        with Client(self.admin) as client:
            self._run(
                self._api,
                "kube-apiserver",
                client.is_ready,
                f"--etcd-servers={self._etcd_url}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                "--endpoint-reconciler-type=none",
                f"--secure-port={self.url.rpartition(':')[2]}",
                f"--tls-cert-file={self._serving.cert}",
                f"--tls-private-key-file={self._serving.key}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self._account_key}",
                f"--service-account-signing-key-file={self._account_key}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--allow-privileged=true",
                *_SOON,
            )

    def stop_api(self) -> None:
        self._api.close()

    def _start_controllers(self) -> None:
        for name, options in (
            (
                "kube-controller-manager",
                (
                    f"--service-account-private-key-file={self._account_key}",
                    f"--root-ca-file={self._authority.ca_file}",
                    "--use-service-account-credentials",
                    *_QUICK,
                ),
            ),
            ("kube-scheduler", ()),
        ):
            user = f"system:{name}"
            config = self.kubeconfig(user, self._tokens[user], "default")
            port = free_port()
            self._run(
                self._stack,
                name,
                lambda port=port: (
                    httpx.get(
                        f"https://127.0.0.1:{port}/healthz",
                        verify=self._serving_context(),
                        timeout=60,
                    ).is_success
                ),
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--tls-cert-file={self._serving.cert}",
                f"--tls-private-key-file={self._serving.key}",
                *options,
            )

    def _serving_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._authority.ca_file))

    def _start_kwok(self) -> None:
        config = self.folder / "kwok.yaml"
        config.write_text(
            "\n---\n".join(json.dumps(document) for document in (*stages(), *usage()))
        )
        self._run(
            self._stack,
            "kwok",
            lambda: httpx.get(f"http://127.0.0.1:{self.usage_port}/healthz", timeout=60).is_success,
            f"--kubeconfig={self.admin}",
            f"--config={config}",
            f"--manage-nodes-with-label-selector={_KUBELET}",
            "--node-ip=127.0.0.1",
            f"--cidr={POD_ADDRESSES}",
            f"--server-address=127.0.0.1:{self.usage_port}",
            "--node-lease-duration-seconds=10",
        )


@contextmanager
def run_cluster(folder: Path, nodes: Sequence[str] = NODES) -> Iterator[ControlPlane]:
    """A cluster with these nodes and a storage class ``standard`` that makes volumes.

    Args:
        folder: everything it writes; a cluster over the same folder goes on.
        nodes: their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        parts = _Parts(folder, stack)
        parts.start()
        client = stack.enter_context(Client(parts.admin))
        for node in nodes:
            client.apply(_node(node))
        stack.enter_context(provision(client))
        wait_for(lambda: all(client.is_node_ready(node) for node in nodes), "ready nodes")
        wait_for(
            lambda: client.find("/api/v1/namespaces/default/serviceaccounts/default") is not None,
            "the default service account",
        )
        yield ControlPlane(folder, parts.url, parts.admin, parts.usage_port, client, parts)


def _node(name: str) -> dict[str, Any]:
    sizes = {"cpu": "1000", "memory": "4Ti", "pods": "1000", "ephemeral-storage": "1Ti"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                _KUBELET: "kwok",
            },
        },
        "status": {"allocatable": sizes, "capacity": sizes},
    }
