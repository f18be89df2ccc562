# noqa: INP001 - a part of jupyterhub_config.py
"""Programs use the Hub API with an access token of Check-in instead of a browser."""

import sys

c = get_config()  # noqa: F821 - JupyterHub provides it

# Clients of Check-in, beside our own, whose users' tokens open the hub: whoever holds a token of
# such a client is that user here.
c.EGICheckinAuthenticator.jwt_clients = ["notebooks", "another-client-of-ours"]

# /services/jwt/… is the Hub API for whoever comes with `Authorization: Bearer ACCESS_TOKEN`.
c.JupyterHub.services.append(
    {
        "name": "jwt",
        "url": "http://127.0.0.1:9010",
        "command": [sys.executable, "-m", "hub.services.wrapper"],
        "oauth_no_confirm": True,
    }
)
