"""Settings of the hub's classes: the old names and meanings, and those of now."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from hub.migration import names
from hub.migration.report import Migration

_CONFIG = "jupyterhub.hub.config"
_GENERAL = frozenset({"enable_auth_state", "admin_users"})
_RENAMED: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "openid_configuration_url": (
        "issuer",
        lambda url: url.rstrip("/").removesuffix("/.well-known/openid-configuration"),
    ),
    "anonymous_username_prefix": ("anonymous_prefix", lambda prefix: f"{prefix}-"),
    "username_key": ("username_claim", lambda claim: claim),
    "personal_project_re": ("primary_group_priority", lambda expression: [expression]),
    "claim_groups_key": ("groups_claims", lambda claim: [claim]),
}
"""Settings of the earlier authenticators: what each is called now, and how it is written."""
_RULES = frozenset({"allow_all", "allowed_groups", "allowed_users", "allow_existing_users"})


class Classes:
    """Takes settings one by one, and writes what they are now into the migration.

    Args:
        migration: what is written to.
        at_checkin: whether the instance's users log in at Check-in, whatever class it uses.
    """

    def __init__(self, migration: Migration, *, at_checkin: bool) -> None:
        self.migration = migration
        self._at_checkin = at_checkin
        self._authenticator = ""
        self._earlier = False
        self._refresh_seconds = float(names.REFRESH_SECONDS)
        self._rules: set[str] = set()

    def section_of(self, authenticator: str) -> str:
        """The class whose settings an old authenticator's become."""
        if authenticator in names.GENERIC and self._at_checkin:
            return names.CLASSES[names.CHECKIN]
        known = names.AUTHENTICATORS.get(authenticator, authenticator)
        return names.CLASSES.get(known, authenticator.rpartition(".")[2])

    def take(self, where: str, section: str, trait: str, value: Any) -> None:
        """Take `c.section.trait = value`, which stood at `where`."""
        section = names.SECTIONS.get(section, section)
        if section == "JupyterHub" and trait in ("authenticator_class", "spawner_class"):
            self._class(where, trait, str(value))
        elif section.endswith(("Authenticator", "OAuthenticator")):
            self._authentication(where, section, trait, value)
        elif (section, trait) == ("JupyterHub", "admin_access"):
            self.migration.dropped(where, "administrators may open all servers by their role")
        elif section.endswith("Spawner"):
            self._spawning(where, section, trait, value)
        else:
            self._set(section, trait, value)

    def _class(self, where: str, trait: str, value: str) -> None:
        if value in names.ONEDATA:
            self.migration.decide(
                where,
                f"{value} has no counterpart: log in with {names.CHECKIN}, and give servers tokens"
                " of Onedata by EGISpawner.datahub (docs/hub/additions.py)",
            )
            return
        known = {**names.AUTHENTICATORS, **names.SPAWNERS}.get(value)
        if value in names.GENERIC and self._at_checkin:
            known = names.CHECKIN
        if known is None:
            self.migration.decide(where, f"{trait} stays {value}: see that the image has it")
        elif known != value:
            self.migration.changed(where, f"{trait} {value} is {known}")
        if trait == "authenticator_class":
            self._authenticator = known or value
            self._earlier = value.startswith(("egi_notebooks_hub.", "egiauth", "eoscauth"))
        self._set("JupyterHub", trait, known or value)

    def client(self, where: str) -> None:
        """The client's id and secret come from a Secret."""
        self.migration.decide(
            where,
            "make the Secret from which the chart takes the client: kubectl create secret generic"
            " checkin-client --from-file=id --from-file=secret",
        )

    def _authentication(self, where: str, section: str, trait: str, value: Any) -> None:
        if section == "GenericOAuthenticator" and self._authenticator == names.CHECKIN:
            section = "EGICheckinAuthenticator"
        if trait in _RULES:
            self._rules.add(trait)
        if trait == "auth_refresh_age":
            self._refresh_seconds = float(value)
        if section not in names.CLASSES.values():
            self._set(section, trait, value)
        elif trait in ("client_id", "client_secret"):
            self.client(where)
        elif trait == "use_oidc_discovery":
            self._discovery(f"{where}.{trait}", section, value)
        elif trait in names.ENDPOINTS and _is_checkin(str(value)):
            self.migration.dropped(f"{where}.{trait}", "is discovered from the issuer")
        elif trait == "auth_refresh_leeway":
            self.migration.changed(f"{where}.{trait}", "is token_margin_seconds, the age added")
            self._set(section, "token_margin_seconds", float(value) + self._refresh_seconds)
        elif trait in _RENAMED:
            new, written = _RENAMED[trait]
            self.migration.changed(f"{where}.{trait}", f"is {new}")
            self._set(section, new, written(value))
        else:
            self._set("Authenticator" if trait in _GENERAL else section, trait, value)

    def _discovery(self, where: str, section: str, value: object) -> None:
        if value:
            self.migration.dropped(where, "endpoints that are not configured are discovered")
        else:
            self.migration.decide(
                where, f"was off: what {section} has no endpoint for is discovered now"
            )

    def _spawning(self, where: str, section: str, trait: str, value: Any) -> None:
        if trait == "cmd" and value in (["jupyter-labhub"], "jupyter-labhub"):
            self.migration.dropped(f"{where}.cmd", "JupyterLab is the default")
        elif trait == "use_token_aqcuirer":
            self.migration.dropped(f"{where}.{trait}", "the image knows where the tokens are")
        elif trait in ("volumes", "pvc_name_template"):
            self._set(section, trait, self._homes(where, trait, value))
        else:
            self._set(section, trait, value)

    def _homes(self, where: str, trait: str, value: Any) -> Any:
        """Without the fields for a server's name: a user has one home."""
        if isinstance(value, str):
            bare = value.replace("{servername}", "").replace("{user_server}", "{userid}")
            if bare != value:
                self.migration.changed(f"{where}.{trait}", "is without the server's name")
            return bare
        if isinstance(value, list):
            return [self._homes(where, trait, inner) for inner in value]
        if isinstance(value, Mapping):
            return {key: self._homes(where, trait, inner) for key, inner in value.items()}
        return value

    def finish(self) -> None:
        """Keep users' names and groups as the earlier package made them; ask who may come in."""
        if not self._authenticator:
            return
        section = names.CLASSES.get(self._authenticator)
        if section and self._earlier:
            self._as_before(section)
        if not self._rules:
            self.migration.decide(
                "who may log in",
                "no rule was set, which let everybody in before JupyterHub 5: set"
                " allowed_groups (the chart has a default) or allow_all",
            )

    def _as_before(self, section: str) -> None:
        given = self.migration.values["jupyterhub"]["hub"]["config"].get(section, {})
        kept = {"service_prefix": "", "allow_anonymous": True, "anonymous_prefix": "anon-"}
        if section == names.CLASSES[names.CHECKIN]:
            kept["primary_group_in_order"] = True
        for trait, value in kept.items():
            if trait not in given:
                self._set(section, trait, value)
        self.migration.changed(
            section,
            "keeps names and groups as they were: service_prefix, anonymous_prefix,"
            " allow_anonymous, primary_group_in_order",
        )
        self.migration.decide(
            f"{section}.service_prefix",
            "is empty, so that programs keep their names: a user with a client's name would be"
            " that program. Set a prefix if no program has a home",
        )
        self.migration.decide(
            f"{section}.allow_anonymous",
            "names of anonymous users are now the same at each login; they were made from all"
            " claims, times included, so nobody had one twice: their homes are nobody's",
        )

    def _set(self, section: str, trait: str, value: Any) -> None:
        self.migration.set(f"{_CONFIG}.{section}", {trait: value})


def _is_checkin(url: str) -> bool:
    """Whether it is an endpoint of Check-in, where its discovery has it or had it."""
    parts = urlsplit(url)
    if parts.hostname not in names.CHECKIN_HOSTS:
        return False
    return parts.path.startswith((names.REALM, "/oidc/"))
