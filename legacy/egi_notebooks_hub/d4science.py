"""`egi_notebooks_hub.d4science.…`, as old configuration has it."""

from hub.authenticator import D4ScienceAuthenticator
from hub.spawner.d4science import D4ScienceSpawner

__all__ = ["D4ScienceOauthenticator", "D4ScienceSpawner"]


class D4ScienceOauthenticator(D4ScienceAuthenticator):
    """The class of now, whose settings may stand under its old name."""
