# noqa: INP001 - a part of jupyterhub_config.py
"""Login in the EOSC EU Node; work is accounted to the personal or project group."""

c = get_config()  # noqa: F821 - JupyterHub provides it

c.JupyterHub.authenticator_class = "eosc-node"
c.EOSCNodeAuthenticator.issuer = "https://aai.example.org/auth/realms/node"
c.Authenticator.allow_all = True
c.Authenticator.enable_auth_state = True
