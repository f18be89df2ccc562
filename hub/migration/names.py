"""Names that existing instances use, and what they are called here.

Sources: EGI's hub up to 1.0.0 (its entry points and traits), the sample in EGI's documentation,
and the keys of Zero to JupyterHub before 1.0.
"""

from collections.abc import Mapping

CHECKIN, EOSC, D4SCIENCE = "egi-checkin", "eosc-node", "d4science"
SPAWNER = "egi-spawner"

AUTHENTICATORS: Mapping[str, str] = {
    "egiauthenticator": CHECKIN,
    "egi_notebooks_hub.egiauthenticator.EGICheckinAuthenticator": CHECKIN,
    "oauthenticator.egicheckin.EGICheckinAuthenticator": CHECKIN,
    "oauthenticator.egicheckin.LocalEGICheckinAuthenticator": CHECKIN,
    "eoscauthenticator": EOSC,
    "egi_notebooks_hub.egiauthenticator.EOSCNodeAuthenticator": EOSC,
    "egi_notebooks_hub.d4science.D4ScienceOauthenticator": D4SCIENCE,
    "d4scienceauthenticator.D4ScienceOauthenticator": D4SCIENCE,
}
"""Authenticators by entry point or import path."""

GENERIC = frozenset({"generic-oauth", "oauthenticator.generic.GenericOAuthenticator"})
"""The authenticator for any provider, which some use for Check-in."""

CLASSES: Mapping[str, str] = {
    CHECKIN: "EGICheckinAuthenticator",
    EOSC: "EOSCNodeAuthenticator",
    D4SCIENCE: "D4ScienceAuthenticator",
}
"""The class whose settings an entry point has."""

SPAWNERS: Mapping[str, str] = {
    "egispawner": SPAWNER,
    "egispawner.spawner.EGISpawner": SPAWNER,
    "egi_notebooks_hub.egispawner.EGISpawner": SPAWNER,
    "egi_notebooks_hub.d4science.D4ScienceSpawner": "d4science-spawner",
}
"""Spawners by entry point or import path."""

ONEDATA = frozenset(
    {
        "onedataauthenticator",
        "onedataspawner",
        "egi_notebooks_hub.onedata.OnedataAuthenticator",
        "egi_notebooks_hub.onedata.OnedataSpawner",
        "egispawner.spawner.OnedataSpawner",
        "oauthenticator.onedata.OnedataAuthenticator",
    }
)
"""Classes that have no counterpart here."""

OLD_MODULES = frozenset({"egispawner", "egi_notebooks_hub", "d4scienceauthenticator"})
"""Top-level modules of EGI's earlier packages."""

SECTIONS: Mapping[str, str] = {
    "LocalEGICheckinAuthenticator": "EGICheckinAuthenticator",
    "D4ScienceOauthenticator": "D4ScienceAuthenticator",
}
"""Classes whose settings stand under another name now."""

OLD_SETTINGS = frozenset(
    {
        "openid_configuration_url",
        "use_oidc_discovery",
        "auth_refresh_leeway",
        "anonymous_username_prefix",
        "personal_project_re",
    }
)
"""Settings of EGI's earlier authenticators that stop the hub now."""

ENDPOINTS = frozenset(
    {"authorize_url", "token_url", "userdata_url", "introspect_url", "revoke_url"}
)
"""Settings that are discovered from the issuer, if they are not set."""

CHECKIN_HOSTS = frozenset({"aai.egi.eu", "aai-demo.egi.eu", "aai-dev.egi.eu"})

REALM = "/auth/realms/egi/"
"""Where Check-in has its endpoints since it is a Keycloak; before, they were below `/oidc/`."""

REFRESH_SECONDS = 300
"""JupyterHub's default of `auth_refresh_age`."""
