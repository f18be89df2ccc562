# noqa: INP001 - a part of jupyterhub_config.py
"""Login by D4Science into a virtual research environment, which says what can be started there."""

c = get_config()  # noqa: F821 - JupyterHub provides it

c.JupyterHub.authenticator_class = "d4science"

# The client's id and secret come from OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET. Portals send users
# to https://HUB/hub/oauth_login?context=/infrastructure/VO/VRE
c.Authenticator.allow_all = True  # whoever has no ticket for the VRE is turned away there
c.Authenticator.enable_auth_state = True
