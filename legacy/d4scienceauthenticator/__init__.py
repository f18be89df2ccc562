"""The name of D4Science's authenticator package until 2023; configuration still imports from it."""

from egi_notebooks_hub.d4science import D4ScienceOauthenticator

__all__ = ["D4ScienceOauthenticator"]
