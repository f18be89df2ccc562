"""Configuration of a real hub whose servers are pods of the Kubernetes stand-in."""

from pathlib import Path

from tests.hub.rig import ROOT

FRAGMENTS = ROOT / "docs" / "hub"

PODS = """
c.JupyterHub.spawner_class = "hub.spawner.EGISpawner"
c.KubeSpawner.namespace = "hub"
c.KubeSpawner.image = "example.org/lab:1"
c.KubeSpawner.delete_grace_period = 0
c.Spawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.args = ["--allow-root"]
if "options_form" in c.Spawner:
    del c.Spawner.options_form  # the spawner has its own
"""
"""After the fragments; the hub finds the cluster by KUBECONFIG in its environment."""


def fragments(*names: str) -> str:
    """The text of the configuration's parts that docs/ shows."""
    return "\n".join(Path(FRAGMENTS, f"{name}.py").read_text(encoding="utf-8") for name in names)
