"""`egi_notebooks_hub.egiauthenticator.…`, as old configuration has it."""

from hub.authenticator import EGICheckinAuthenticator, EOSCNodeAuthenticator

__all__ = ["EGICheckinAuthenticator", "EOSCNodeAuthenticator"]
