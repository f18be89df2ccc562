"""`egi_notebooks_hub.egispawner.EGISpawner`, as old configuration has it."""

from hub.spawner import EGISpawner

__all__ = ["EGISpawner"]
