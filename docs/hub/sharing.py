# noqa: INP001 - a part of jupyterhub_config.py
"""A notebook's extensions get their user's access token, as long as the server is not shared."""

import sys

c = get_config()  # noqa: F821 - JupyterHub provides it

SCOPE = "custom:token-acquirer:read"
c.JupyterHub.custom_scopes = {SCOPE: {"description": "Get your own access token of Check-in"}}

# Users may do it, and so may the pages of their own server that they look at.
c.JupyterHub.load_roles.append({"name": "user", "scopes": ["self", "access:services", SCOPE]})
c.Spawner.oauth_client_allowed_scopes = [SCOPE]

# The service reads tokens and shares. Servers are shared through it, so that the token that a
# server has seen is revoked first: do not give users `shares`.
c.JupyterHub.services.append(
    {
        "name": "token-acquirer",
        "url": "http://127.0.0.1:9020",
        "command": [
            *(sys.executable, "-m", "hub.services.sharing"),
            # What …/token_details tells a notebook of its user; without these, all claims.
            *("--detail", "preferred_username", "--detail", "entitlements"),
        ],
    }
)
c.JupyterHub.load_roles.append(
    {
        "name": "token-acquirer",
        "scopes": ["admin:auth_state", "read:users:name", "read:servers", "read:tokens", "shares"],
        "services": ["token-acquirer"],
    }
)
