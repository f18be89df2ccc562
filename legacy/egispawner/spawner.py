"""`from egispawner.spawner import EGISpawner`, as old configuration has it."""

from hub.spawner import EGISpawner

__all__ = ["EGISpawner"]
