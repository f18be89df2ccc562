"""The values of an existing instance, as the chart `egi-notebooks` takes them now."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hub.migration import code, names
from hub.migration.classes import Classes
from hub.migration.report import Migration, Values

_CONFIG = "jupyterhub.hub.config"
_HOME = "{servername}"


def migrated(old: Mapping[str, Any], configuration: Mapping[str, str] | None = None) -> Migration:
    """Write an instance's values anew.

    Args:
        old: the values of Zero to JupyterHub, any version, alone or below `jupyterhub`.
        configuration: the texts of `jupyterhub_config.py` files, by name.

    Raises:
        SyntaxError: a piece of configuration is not Python; its `filename` says which.
    """
    migration = Migration()
    given = copy.deepcopy(dict(old))
    inner = given.pop("jupyterhub", None)
    if isinstance(inner, dict):
        migration.values.update(given)  # an umbrella's other parts
        given = inner
    everything = f"{given} {configuration or {}}"
    at_checkin = any(host in everything for host in names.CHECKIN_HOSTS)
    classes = Classes(migration, at_checkin=at_checkin)
    _auth(given.pop("auth", None) or {}, classes)
    hub = given.pop("hub", None) or {}
    for name, text in [*_pieces(hub.pop("extraConfig", None)), *(configuration or {}).items()]:
        _code(name, text, classes)
    config = hub.pop("config", None) or {}
    for section in sorted(config, key=_rank):
        for trait, value in (config[section] or {}).items():
            classes.take(f"hub.config.{section}", section, trait, value)
    _hub(hub, classes)
    _singleuser(given.get("singleuser") or {}, migration)
    _ingress(given.get("ingress") or {}, migration)
    _accounting_address(given.get("ingress") or {}, migration)
    if "notebooks-monitoring" in migration.values:
        _monitor_address(given.get("ingress") or {}, migration)
    for key, value in given.items():
        if value not in ({}, None):
            migration.set(f"jupyterhub.{key}", value)
    classes.finish()
    _upgrade(migration)
    return migration


def _rank(section: str) -> tuple[bool, bool]:
    """First the class that is used, then what holds for all of its kind."""
    return section != "JupyterHub", section != "Authenticator"


def _auth(auth: Values, classes: Classes) -> None:
    """`auth` of Zero to JupyterHub before 1.0."""
    migration = classes.migration
    if not auth:
        return
    _custom(auth.pop("type", "custom"), auth.pop("custom", None) or {}, classes)
    state = auth.pop("state", None) or {}
    if "enabled" in state:
        classes.take("auth.state", "Authenticator", "enable_auth_state", state["enabled"])
    if state.get("cryptoKey"):
        classes.take("auth.state", "CryptKeeper", "keys", [state["cryptoKey"]])
    admin = auth.pop("admin", None) or {}
    if admin.get("users"):
        classes.take("auth.admin", "Authenticator", "admin_users", admin["users"])
    if admin.get("access"):
        migration.dropped("auth.admin.access", "administrators may open all servers by their role")
    for key in ("whitelist", "allowlist", "allowList"):
        users = (auth.pop(key, None) or {}).get("users")
        if users:
            classes.take(f"auth.{key}", "Authenticator", "allowed_users", users)
    for key in auth:
        migration.decide(f"auth.{key}", "is not read: write it as hub.config has it")


def _custom(kind: str, custom: Values, classes: Classes) -> None:
    name = custom.get("className")
    if kind != "custom" or not name:
        said = f"'{kind}' has no counterpart here: choose an authenticator"
        classes.migration.decide("auth.type", said)
        return
    classes.take("auth.custom", "JupyterHub", "authenticator_class", name)
    section = classes.section_of(name)
    for trait, value in (custom.get("config") or {}).items():
        classes.take("auth.custom.config", section, trait, value)


def _pieces(extra: object) -> Iterator[tuple[str, str]]:
    """Pieces of extraConfig: a mapping now, one text in old charts."""
    if isinstance(extra, str):
        yield "hub.extraConfig", extra
    elif isinstance(extra, Mapping):
        for name, text in extra.items():
            yield f"hub.extraConfig.{name}", str(text)


def _code(where: str, text: str, classes: Classes) -> None:
    try:
        found = code.read(text)
    except SyntaxError as exc:
        exc.filename = where
        raise
    for section, settings in found.settings.items():
        for trait, value in settings.items():
            classes.take(where, section, trait, value)
    if found.rest:
        name = where.removeprefix("hub.extraConfig").strip(".") or "from-before"
        classes.migration.set(f"{_CONFIG[: -len('.config')]}.extraConfig", {name: found.rest})
        classes.migration.decide(where, "is code: it stays as it is; read whether it still holds")
    for setting in sorted(names.OLD_SETTINGS):
        if re.search(rf"\b{setting}\b", found.rest):
            classes.migration.decide(
                where, f"its code sets {setting}: the hub does not start, and says what to write"
            )
    for module in found.old_modules:
        classes.migration.decide(
            where, f"its code imports {module}: the classes are in hub.authenticator, hub.spawner"
        )


def _hub(hub: Values, classes: Classes) -> None:
    migration = classes.migration
    if hub.pop("image", None):
        migration.dropped("hub.image", "the chart names its own, with this package in it")
    _environment(hub, classes)
    services = hub.pop("services", None) or {}
    for name, service in services.items():
        _service(name, dict(service or {}), migration)
    for key, value in hub.items():
        if value not in ({}, None):
            migration.set(f"jupyterhub.hub.{key}", value)


def _environment(hub: Values, classes: Classes) -> None:
    """Variables for the hub; some old ones are settings now, or mean nothing any more."""
    given = hub.pop("extraEnv", None) or {}
    if isinstance(given, list):  # as in a pod
        given = {entry["name"]: {k: v for k, v in entry.items() if k != "name"} for entry in given}
        given = {k: v["value"] if set(v) == {"value"} else v for k, v in given.items()}
    for name, value in given.items():
        where = f"hub.extraEnv.{name}"
        if name == "EGICHECKIN_HOST":
            classes.take(where, "EGICheckinAuthenticator", "checkin_host", value)
        elif name == "JUPYTER_ENABLE_LAB":
            classes.migration.dropped(where, "JupyterLab is the default")
        elif name in ("OAUTH2_AUTHORIZE_URL", "OAUTH2_TOKEN_URL", "OAUTH2_USERDATA_URL"):
            classes.migration.dropped(where, "the endpoints are discovered")
        elif name == "OAUTH_CALLBACK_URL":
            classes.take(where, "EGICheckinAuthenticator", "oauth_callback_url", value)
        elif name in ("EGICHECKIN_CLIENT_ID", "EGICHECKIN_CLIENT_SECRET") and not isinstance(
            value, dict
        ):
            classes.client(where)
        else:
            classes.migration.set("jupyterhub.hub.extraEnv", {name: value})


def _service(name: str, service: Values, migration: Migration) -> None:
    where = f"hub.services.{name}"
    if name == "status":
        migration.set("notebooks-monitoring", {"enabled": True, "openStatus": True})
        migration.changed(
            where,
            "comes with the chart notebooks-monitoring, with rights over one user only; what it"
            " says is open for EGI's probe at the same address",
        )
        return
    if "api_token" in service:
        service["apiToken"] = service.pop("api_token")
        migration.changed(f"{where}.api_token", "is apiToken")
    if service.pop("admin", False):
        role = {"scopes": ["admin:users", "admin:servers", "tokens", "access:servers"]}
        migration.set("jupyterhub.hub.loadRoles", {name: {**role, "services": [name]}})
        migration.decide(f"{where}.admin", "is a role in hub.loadRoles: leave only what it needs")
    if any(old in str(service.get("command", "")) for old in names.OLD_MODULES):
        migration.decide(
            f"{where}.command",
            "runs a module of the earlier package: take the one of docs/hub/programs.py or"
            " docs/hub/sharing.py under the same name, so that its address stays",
        )
    migration.set("jupyterhub.hub.services", {name: service})


def _accounting_address(ingress: Values, migration: Migration) -> None:
    """Tell accounting where users find the hub: it gets a host name beside the hub's."""
    where = "notebooks-accounting.hub.publicUrl"
    known = migration.values.get("notebooks-accounting", {})
    if known.get("host") or known.get("hub", {}).keys() & {"publicUrl", "origin"}:
        return
    hosts = ingress.get("hosts") or []
    if not hosts:
        migration.decide(where, "is the hub's address as users have it, with /hub, and must be set")
        return
    migration.set(where, f"https://{hosts[0]}/hub")
    migration.decide(
        "notebooks-accounting.host",
        f"is accounting.{hosts[0]} if you do not set it: a name that must lead to the ingress, too",
    )


def _monitor_address(ingress: Values, migration: Migration) -> None:
    """Tell the monitor where users find the hub."""
    hosts = ingress.get("hosts") or []
    if hosts:
        migration.set("notebooks-monitoring.hubUrl", f"https://{hosts[0]}")
    else:
        migration.decide(
            "notebooks-monitoring.hubUrl", "is the hub's address as users have it, and must be set"
        )


def _singleuser(singleuser: Values, migration: Migration) -> None:
    dynamic = (singleuser.get("storage") or {}).get("dynamic") or {}
    for key in ("pvcNameTemplate", "volumeNameTemplate"):
        if _HOME in str(dynamic.get(key, "")):
            dynamic[key] = dynamic[key].replace(_HOME, "")
            migration.changed(
                f"singleuser.storage.dynamic.{key}",
                "is without {servername}: a user has one home, whatever the server's name;"
                " existing homes are found by their claims' label or annotation",
            )
    if singleuser.get("image"):
        migration.decide(
            "singleuser.image",
            "stays: it must have the hub's JupyterHub release; without the key, the chart's own"
            " image is used",
        )


def _ingress(ingress: Values, migration: Migration) -> None:
    for entry in ingress.get("tls") or []:
        for key in sorted(set(entry) - {"hosts", "secretName"}):
            del entry[key]
            migration.dropped(f"ingress.tls.{key}", "is no key of an Ingress")
    annotations = ingress.get("annotations") or {}
    if "kubernetes.io/tls-acme" in annotations:
        migration.decide(
            "ingress.annotations",
            "the chart sets cert-manager.io/cluster-issuer: set it to null if kube-lego's"
            " annotation is to work alone",
        )


def _upgrade(migration: Migration) -> None:
    migration.set("jupyterhub.hub.db", {"upgrade": True})
    migration.changed("hub.db.upgrade", "brings the hub's database to this JupyterHub, once")
    migration.decide("notebooks-accounting.siteName", "must be set: the site's name in GOCDB")
