"""A real hub whose servers are pods of the Kubernetes stand-in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hub.rig import ROOT, Hub, run_hub
from tests.kubernetes.standin import KubernetesStandin

FRAGMENTS = ROOT / "docs" / "hub"

_PODS = """
c.KubeSpawner.namespace = "hub"
c.KubeSpawner.image = "example.org/lab:1"
c.KubeSpawner.delete_grace_period = 0
c.Spawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.args = ["--allow-root"]
c.JupyterHub.load_roles = []
c.JupyterHub.services = []
"""


def fragments(*names: str) -> str:
    """The text of the configuration's parts that docs/ shows."""
    return "\n".join((FRAGMENTS / f"{name}.py").read_text(encoding="utf-8") for name in names)


@contextmanager
def run_cloud_hub(
    folder: Path, cluster: KubernetesStandin, config: str, **options: Any
) -> Iterator[Hub]:
    """A hub with this configuration on this cluster; `options` are `run_hub`'s."""
    environment = {"KUBECONFIG": str(cluster.kubeconfig), **options.pop("environment", {})}
    with run_hub(folder, _PODS.join(("c = get_config()\n", config)), environment=environment,
                 **options) as hub:  # fmt: skip
        yield hub
