"""Login by EGI Check-in."""

import os

from traitlets import List, Unicode, default

from hub.authenticator.bearer import BearerAuthenticator


class EGICheckinAuthenticator(BearerAuthenticator):
    """Login by EGI Check-in (`c.JupyterHub.authenticator_class = "egi-checkin"`)."""

    client_id_env = "EGICHECKIN_CLIENT_ID"
    client_secret_env = "EGICHECKIN_CLIENT_SECRET"  # noqa: S105 - a variable's name
    checkin_host_env = "EGICHECKIN_HOST"

    checkin_host = Unicode(
        help="""Check-in's host: `aai.egi.eu`, or `aai-demo.egi.eu`, `aai-dev.egi.eu` for trials.

        The environment variable `EGICHECKIN_HOST` sets the default.
        """,
    ).tag(config=True)

    scope = List(
        Unicode(),
        [
            "openid",
            "profile",
            "email",
            "offline_access",
            "eduperson_scoped_affiliation",
            "eduperson_entitlement",
            "entitlements",
        ],
        help="""The OAuth scopes to request; `openid` always is among them.""",
    ).tag(config=True)

    @default("login_service")
    def _login_service_default(self) -> str:
        return "EGI Check-in"

    @default("checkin_host")
    def _checkin_host_default(self) -> str:
        return os.environ.get(self.checkin_host_env) or "aai.egi.eu"

    @default("issuer")
    def _issuer_default(self) -> str:
        return f"https://{self.checkin_host}/auth/realms/egi"

    @default("username_claim")
    def _username_claim_default(self) -> str:
        return "preferred_username"
