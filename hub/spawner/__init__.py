"""JupyterHub's spawners: ``hub.spawner:EGISpawner``, and D4Science's in ``d4science``."""

from hub.spawner.egi import EGISpawner

__all__ = ["EGISpawner"]
