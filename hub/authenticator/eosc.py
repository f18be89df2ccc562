"""Login in the EOSC EU Node."""

from collections.abc import Mapping
from typing import ClassVar

from traitlets import List, Unicode, default

from hub.authenticator.egi import EGICheckinAuthenticator


class EOSCNodeAuthenticator(EGICheckinAuthenticator):
    """Login by the EOSC AAI (`c.JupyterHub.authenticator_class = "eosc-node"`).

    Work is accounted to the personal or project group, `urn:geant:…:group:pp-…`.
    """

    primary_group_priority = List(
        Unicode(),
        [r"^urn:geant:[^:]+:group:(pp-.*)$"],
        help=EGICheckinAuthenticator.primary_group_priority.help,
    ).tag(config=True)

    renamed: ClassVar[Mapping[str, str]] = {
        **EGICheckinAuthenticator.renamed,
        "personal_project_re": "write it into primary_group_priority, a list",
    }

    @default("issuer")
    def _issuer_default(self) -> str:
        return ""  # the node's, never Check-in's: it must be set

    @default("login_service")
    def _login_service_default(self) -> str:
        return "EOSC AAI"
