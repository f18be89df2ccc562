# noqa: INP001 - a part of jupyterhub_config.py
"""Login by EGI Check-in; members of two VOs may come in."""

c = get_config()  # noqa: F821 - JupyterHub provides it

c.JupyterHub.authenticator_class = "egi-checkin"

# The client that is registered at Check-in, with the redirect URL
# https://HUB/hub/oauth_callback. Its id and secret come from the environment:
# EGICHECKIN_CLIENT_ID and EGICHECKIN_CLIENT_SECRET. EGICHECKIN_HOST=aai-demo.egi.eu is for trials.

# Who may come in. Asked again whenever Check-in confirms a user (every five minutes).
VO = "urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"
TRAINING = "urn:mace:egi.eu:group:training.example.org:role=member#aai.egi.eu"
c.EGICheckinAuthenticator.allowed_groups = {VO, TRAINING}

# Whom the work of somebody in both is accounted to: the first that they are in.
c.EGICheckinAuthenticator.primary_group_priority = [VO, TRAINING]

# Tokens are kept, encrypted, to be refreshed; JUPYTERHUB_CRYPT_KEY has the key
# (`openssl rand -hex 32`).
c.Authenticator.enable_auth_state = True

# While Check-in is away, whoever it confirmed within a day stays logged in.
c.EGICheckinAuthenticator.provider_absence_seconds = 24 * 3600
