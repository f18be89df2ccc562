# noqa: INP001 - a part of jupyterhub_config.py
"""The monitor: a service with the right to start one user's servers, and nothing else."""

import os

c = get_config()  # noqa: F821 - JupyterHub provides it

MONITORING_USER = "monitoring"

# With a chart, the monitor runs in a pod of its own: `url` is its Service, and `api_token` the
# text in its Secret.
c.JupyterHub.services.append(
    {
        "name": "monitoring",
        "url": os.environ.get("NOTEBOOKS_MONITOR_URL", "http://notebooks-monitoring:8100"),
        "api_token": os.environ["NOTEBOOKS_MONITOR_API_TOKEN"],
        "oauth_no_confirm": True,
    }
)

c.JupyterHub.load_roles.append(
    {
        "name": "monitoring",
        "description": "Start, use and stop the monitoring user's servers",
        "scopes": [
            f"read:users:name!user={MONITORING_USER}",
            f"servers!user={MONITORING_USER}",
            f"access:servers!user={MONITORING_USER}",
        ],
        "services": ["monitoring"],
    }
)

# The user exists without ever having logged in: roles make their users.
c.JupyterHub.load_roles.append(
    {"name": "monitored", "scopes": ["self"], "users": [MONITORING_USER]}
)

# Who may see the page: everybody who may log in. Leave this out, and only administrators may.
c.JupyterHub.load_roles.append(
    {
        "name": "user",
        "scopes": ["self", "access:services!service=monitoring"],
    }
)
