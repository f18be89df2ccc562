"""A site around a real cluster: hub, kube-state-metrics, Prometheus 3, accounting, broker."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

from accounting.doctor import ALLOWLIST
from accounting.simulation.judges.repository import CloudRecord, parse
from accounting.simulation.stores.engines import Engine, free_port, run_prometheus
from ssm.certificate import HostCertificate
from ssm.smime import verify
from ssm.testing.authority import Authority
from ssm.testing.standin import AmsStandin
from tests.broker import delivery_to
from tests.cluster.control_plane import NODES, ControlPlane
from tests.cluster.programs import program as built
from tests.hub.process import program, wait_for

SCRAPE_SECONDS = 2
_PROGRAM = Path(sys.executable).parent / "notebooks-accounting"
_READS = ("pods", "persistentvolumeclaims", "namespaces", "nodes")
_NOTEBOOK = Path(__file__).parent / "notebook.py"


@dataclass(frozen=True)
class Measured:
    """A cluster that is measured, and the accounting beside it."""

    cluster: ControlPlane
    state_metrics: str
    prometheus: Engine
    broker: AmsStandin
    folder: Path
    signer: x509.Certificate
    environment: dict[str, str] = field(repr=False)

    def accounting(self, *arguments: str) -> str:
        """Run the program; what it prints."""
        done = subprocess.run(
            [_PROGRAM, *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 3), done.stdout + done.stderr
        return done.stdout

    def records(self) -> dict[str, dict[str, Any]]:
        """Poll up to now; the records by the pods' uid."""
        self.accounting("poll", "--json")
        found = json.loads(self.accounting("records", "list", "--limit", "10000", "--json"))
        return {record["uid"]: record for record in found}

    def received(self) -> dict[str, CloudRecord]:
        """Push what is due; the last record of each pod that the broker holds."""
        self.accounting("push")
        bodies = [verify(message.data, self.signer) for message in self.broker.log]
        return {record.uuid: record for body in bodies for record in parse(body)}

    def seen(self, uid: str) -> bool:
        """Whether Prometheus has seen the pod running."""
        return bool(self.query(f'kube_pod_status_phase{{uid="{uid}",phase="Running"}} == 1'))

    def forgotten(self, uid: str) -> bool:
        """Whether the last scrape did not list the pod."""
        return not self.query(f'kube_pod_info{{uid="{uid}"}}')

    def query(self, text: str) -> list[dict[str, Any]]:
        answer = httpx.get(
            f"{self.prometheus.url}/api/v1/query", params={"query": text}, timeout=60
        )
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return found


@contextmanager
def run_state_metrics(cluster: ControlPlane) -> Iterator[str]:
    """kube-state-metrics with our allowlist and least rights; its address."""
    name = "kube-state-metrics"
    space = "kube-system"
    version = "rbac.authorization.k8s.io/v1"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": space}
    rules = [{"apiGroups": [""], "resources": list(_READS), "verbs": ["list", "watch"]}]
    named = {"metadata": {"name": name}}
    for manifest in (
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": space},
        },
        {"apiVersion": version, "kind": "ClusterRole", **named, "rules": rules},
        {
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            **named,
            "roleRef": reference,
            "subjects": [subject],
        },
    ):
        cluster.client.apply(manifest)
    address, own = f"127.0.0.1:{free_port()}", free_port()
    command = [
        str(built(name)),
        f"--kubeconfig={cluster.kubeconfig_of(space, name)}",
        "--host=127.0.0.1",
        f"--port={address.rpartition(':')[2]}",
        "--telemetry-host=127.0.0.1",
        f"--telemetry-port={own}",
        f"--resources={','.join(_READS)}",
        *shlex.split(ALLOWLIST),
        "--metric-labels-allowlist=pods=[app,component,release]",
    ]
    log = cluster.folder / f"{name}.log"
    with program(
        name,
        command,
        log,
        ready=lambda: "kube_node_info" in httpx.get(f"http://{address}/metrics", timeout=60).text,
    ):
        yield address


def scrape_config(state_metrics: str, usage_port: int, nodes: Sequence[str] = NODES) -> str:
    """Prometheus' configuration for this cluster."""
    interval = f"{SCRAPE_SECONDS}s"
    jobs = [
        {
            "job_name": "kube-state-metrics",
            "honor_labels": True,
            "static_configs": [{"targets": [state_metrics]}],
        }
    ]
    for node in nodes:
        targets = {"targets": [f"127.0.0.1:{usage_port}"], "labels": {"node": node}}
        jobs.append(
            {
                "job_name": f"cadvisor {node}",
                "honor_labels": True,
                "metrics_path": f"/metrics/nodes/{node}/metrics/cadvisor",
                "static_configs": [targets],
            }
        )
    every = {"scrape_interval": interval, "scrape_timeout": interval}
    return json.dumps({"global": every, "scrape_configs": jobs})


@contextmanager
def run_measured(cluster: ControlPlane, folder: Path, namespace: str) -> Iterator[Measured]:
    """Everything that measures a namespace, and a broker that takes its records."""
    with ExitStack() as stack:
        state_metrics = stack.enter_context(run_state_metrics(cluster))
        config = scrape_config(state_metrics, cluster.usage_port)
        prometheus = stack.enter_context(
            run_prometheus(folder / "prometheus", scrape_config=config, program=built("prometheus"))
        )
        authority = Authority.create(folder / "pki")
        host = authority.issue("notebooks.example.org")
        registered = [HostCertificate.load(*host).dn]
        broker = stack.enter_context(AmsStandin(authority, registered=registered))
        settings = {
            "SITE_NAME": "EXAMPLE-NOTEBOOKS",
            "DATABASE_URL": f"sqlite:///{folder / 'accounting.db'}",
            "PROMETHEUS__URL": prometheus.url,
            "PROMETHEUS__NAMESPACE": namespace,
            "PROMETHEUS__SCRAPE_INTERVAL": f"{SCRAPE_SECONDS}s",
            "POLL__SETTLE": "0s",
            "VO__DEFAULT": "default.example.org",
            **delivery_to(broker, authority, host),
        }
        environment = {f"ACCOUNTING_{name}": value for name, value in settings.items()}
        signer = x509.load_pem_x509_certificate(host.cert.read_bytes())
        yield Measured(cluster, state_metrics, prometheus, broker, folder, signer, environment)


@contextmanager
def run_notebooks(folder: Path) -> Iterator[int]:
    """Something that answers at every pod's address as a notebook does; its port."""
    port = free_port()

    def ready() -> bool:
        return httpx.get(f"http://127.64.0.1:{port}/", timeout=60).is_success

    command = [sys.executable, str(_NOTEBOOK), str(port)]
    with program("notebooks", command, folder / "notebooks.log", ready=ready):
        yield port


def seconds(moment: str) -> float:
    """A moment of the API server's as Unix seconds."""
    return datetime.fromisoformat(moment).timestamp()


class Life:
    """What the API server says of a pod: from its start to when it is gone."""

    def __init__(self, cluster: ControlPlane, namespace: str, name: str) -> None:
        self.client = cluster.client
        self.path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        wait_for(lambda: self.now()["status"]["phase"] == "Running", f"the pod {name}")
        self.pod = self.now()
        self.uid: str = self.pod["metadata"]["uid"]
        self.start = seconds(self.pod["status"]["startTime"])

    def now(self) -> dict[str, Any]:
        return self.client.get(self.path)

    def is_gone(self) -> bool:
        found = self.client.find(self.path)
        return found is None or found["metadata"]["uid"] != self.uid

    def is_evicted(self) -> bool:
        """Whether it was told to end; nothing says that it has."""
        return "deletionTimestamp" in (self.client.find(self.path) or {"metadata": {}})["metadata"]

    def event(self, reason: str) -> float:
        """When an event of the pod was first told (Unix seconds); it must have been."""
        path = self.path.partition("/pods/")[0] + "/events"
        chosen = f"involvedObject.uid={self.uid},reason={reason}"
        return min(
            seconds(one["firstTimestamp"]) for one in self.client.list(path, fieldSelector=chosen)
        )

    def resize(self, container: str, resources: dict[str, Any]) -> None:
        """Resize a container in place, and wait until the node has done it."""
        wanted = {"containers": [{"name": container, "resources": resources}]}
        self.client.patch(f"{self.path}/resize", {"spec": wanted})

        def done() -> bool:
            (held,) = self.now()["status"]["containerStatuses"]
            return all(held["resources"][kind] == resources[kind] for kind in resources)

        wait_for(done, "the resize")
