"""A made-up instance of EGI's earlier hub is moved: homes, names, groups and tokens stay."""

import asyncio
import re
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hub.migration.homes import survey
from hub.migration.users import users_of
from hub.migration.values import migrated
from tests.hub.checkin import CLIENT, TRAINING, VO
from tests.hub.pods import tokens_in
from tests.hub.process import wait_for
from tests.hub.provider import CLIENT_SECRET, Provider, run_provider
from tests.hub.rig import HUB_5, PYTHONS, Hub, new_url, run_hub
from tests.hub.visitor import Visitor
from tests.kubernetes.standin import KubernetesStandin

PEOPLE = {"alice": [TRAINING, VO], "bob": [VO]}
NEVER_LOGGED_IN = "robot"
PROGRAM = "a-program"
"""A client of the provider that logs in for itself: users were called by the client's id."""

EARLIER = """
import uuid
from kubespawner import KubeSpawner
from oauthenticator.generic import GenericOAuthenticator


class EGISpawner(KubeSpawner):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pvc_name = uuid.uuid4().hex  # as it has been since 2020


c = get_config()
c.JupyterHub.authenticator_class = GenericOAuthenticator
c.JupyterHub.spawner_class = EGISpawner
c.KubeSpawner.namespace = "hub"
c.KubeSpawner.image = "example.org/lab:1"
c.KubeSpawner.delete_grace_period = 0
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"
c.KubeSpawner.volumes = [
    {{"name": "home", "persistentVolumeClaim": {{"claimName": "{{pvc_name}}"}}}},
]
c.Authenticator.enable_auth_state = True
c.Authenticator.manage_groups = True
c.Authenticator.auth_refresh_age = 0  # so that servers of programs, too, can be started
c.GenericOAuthenticator.auth_state_groups_key = "oauth_user.entitlements"
c.GenericOAuthenticator.client_id = {client!r}
c.GenericOAuthenticator.client_secret = {secret!r}
c.GenericOAuthenticator.authorize_url = {authorize!r}
c.GenericOAuthenticator.token_url = {token!r}
c.GenericOAuthenticator.userdata_url = {userinfo!r}
c.GenericOAuthenticator.username_claim = "preferred_username"
c.GenericOAuthenticator.scope = ["openid", "profile", "offline_access", "entitlements"]
c.GenericOAuthenticator.allow_all = True
"""
"""What an instance of EGI's hub runs, as far as its state goes; on JupyterHub 5.5."""

VALUES = """
hub:
  config:
    JupyterHub: {{authenticator_class: egiauthenticator, spawner_class: egispawner}}
    EGICheckinAuthenticator:
      openid_configuration_url: {issuer}/.well-known/openid-configuration
      auth_refresh_leeway: 60
      username_claim: preferred_username
      allowed_groups: ["{vo}", "{training}"]
      allowed_users: [{program}]
      jwt_clients: [{client}, {program}]
    Authenticator: {{enable_auth_state: true}}
    KubeSpawner: {{namespace: hub, image: "example.org/lab:1", delete_grace_period: 0}}
  extraConfig:
    homes: |
      from egi_notebooks_hub.egispawner import EGISpawner
      c.JupyterHub.spawner_class = EGISpawner
      c.KubeSpawner.storage_pvc_ensure = True
      c.KubeSpawner.storage_capacity = "1Gi"
      c.KubeSpawner.volumes = [
          {{"name": "home",
            "persistentVolumeClaim": {{"claimName": "claim-{{userid}}{{servername}}"}}}},
      ]
"""


@dataclass(frozen=True)
class Instance:
    """The earlier instance when it was stopped."""

    folder: Path
    url: str
    provider: Provider
    cluster: KubernetesStandin
    homes: dict[str, str]
    users: dict[str, dict[str, Any]]
    api_tokens: dict[str, str]

    def settings(self) -> str:
        """The configuration that its migrated values give, as `hub.config` is read."""
        text = VALUES.format(
            issuer=self.provider.issuer, vo=VO, training=TRAINING, client=CLIENT, program=PROGRAM
        )
        values = migrated(yaml.safe_load(text)).values["jupyterhub"]["hub"]
        assert "extraConfig" not in values  # nothing of it must stay code
        classes = values["config"]["JupyterHub"]
        for name, group in (
            ("authenticator_class", "authenticators"),
            ("spawner_class", "spawners"),
        ):
            # The environment of JupyterHub 5.5 has the package, but not its entry points.
            (found,) = entry_points(group=f"jupyterhub.{group}", name=classes[name])
            classes[name] = found.value.replace(":", ".")
        # The chart's hub.db.upgrade is the hub's option --upgrade-db.
        lines = ["c = get_config()", f"c.JupyterHub.upgrade_db = {values['db']['upgrade']}"]
        for section, settings in values["config"].items():
            lines += [f"c.{section}.{name} = {value!r}" for name, value in settings.items()]
        return "\n".join(lines)


def claim_of(cluster: KubernetesStandin, name: str) -> str:
    """The claim that is mounted as the home of a user's running server."""
    (pod,) = (
        pod
        for pod in cluster.all("pods", "hub")
        if pod["metadata"]["annotations"]["hub.jupyter.org/username"] == name
    )
    (home,) = (v for v in pod["spec"]["volumes"] if v["name"] == "home")
    return str(home["persistentVolumeClaim"]["claimName"])


def start(hub: Hub, cluster: KubernetesStandin, name: str) -> str:
    """Start a server, up to its pod; the stand-in's pods run nothing."""
    hub.api("POST", f"/users/{name}/server").raise_for_status()
    mine = {"hub.jupyter.org/username": name}.items()

    def there() -> bool:
        return any(mine <= pod["metadata"]["annotations"].items() for pod in cluster.all("pods"))

    wait_for(there, f"the pod of {name}")
    return claim_of(cluster, name)


def stop(hub: Hub, cluster: KubernetesStandin, *names: str) -> None:
    for name in names:
        hub.api("DELETE", f"/users/{name}/server")
    wait_for(lambda: not cluster.all("pods", "hub"), "the end of all pods")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with run_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def instance(provider: Provider, tmp_path: Path) -> Iterator[Instance]:
    folder, url = tmp_path / "hub", new_url()
    provider.client(CLIENT, [f"{url}hub/oauth_callback"])
    provider.client(PROGRAM)
    for name, groups in PEOPLE.items():
        provider.user(name, entitlements=groups)
    config = EARLIER.format(
        client=CLIENT,
        secret=CLIENT_SECRET,
        authorize=provider.endpoint("auth"),
        token=provider.endpoint("token"),
        userinfo=provider.endpoint("userinfo"),
    )
    with KubernetesStandin(tmp_path / "cluster") as cluster:
        environment = {"KUBECONFIG": str(cluster.kubeconfig)}
        with run_hub(folder, config, url=url, python=HUB_5, environment=environment) as hub:
            homes = {}
            for name in PEOPLE:
                with Visitor(hub) as visitor:
                    visitor.login(name)
                homes[name] = start(hub, cluster, name)
                secret = {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {
                        "name": f"access-token-{number(folder, name)}",
                        "annotations": {"hub.jupyter.org/username": name},
                    },
                    "stringData": {"access_token": "earlier", "own": f"{name}'s own"},
                }
                cluster.create(secret)
            hub.add_user(NEVER_LOGGED_IN)
            hub.add_user(PROGRAM)
            homes[PROGRAM] = start(hub, cluster, PROGRAM)
            users = {name: hub.user(name) for name in PEOPLE}
            api_tokens = {name: hub.token_of(name) for name in PEOPLE}
            stop(hub, cluster, *homes)
        yield Instance(folder, url, provider, cluster, homes, users, api_tokens)


def surveyed(instance: Instance) -> Mapping[str, str]:
    """The homes that a start would find, by what the hub and the cluster have kept."""
    claims = instance.cluster.all("persistentvolumeclaims", "hub")
    users = users_of(f"sqlite:///{instance.folder}/jupyterhub.sqlite")
    found = asyncio.run(survey(claims, users))
    assert not found.findings
    return found.homes


def number(folder: Path, name: str) -> int:
    """A user's number in the hub's database."""
    with sqlite3.connect(folder / "jupyterhub.sqlite") as database:
        found = database.execute("SELECT id FROM users WHERE name = ?", [name]).fetchone()
    return int(found[0])


@pytest.mark.parametrize("version", ["6", "5.5"])
def test_users_find_their_homes_names_groups_and_tokens(instance: Instance, version: str) -> None:
    cluster, folder = instance.cluster, instance.folder
    assert all(uuid.UUID(hex=home) for home in instance.homes.values())
    assert surveyed(instance) == instance.homes  # `notebooks-hub homes` says it before
    numbers = {name: number(folder, name) for name in PEOPLE}
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "EGICHECKIN_CLIENT_ID": CLIENT,
        "EGICHECKIN_CLIENT_SECRET": CLIENT_SECRET,
        "OAUTH_CLIENT_ID": CLIENT,
        "OAUTH_CLIENT_SECRET": CLIENT_SECRET,
    }
    with run_hub(
        folder,
        instance.settings(),
        url=instance.url,
        python=PYTHONS[version],
        environment=environment,
    ) as hub:
        for name, groups in PEOPLE.items():
            before = instance.users[name]
            # What was kept in the database is as it was, before anybody logs in again.
            user = hub.user(name)
            assert sorted(user["groups"]) == sorted(before["groups"]) == sorted(groups)
            for token in ("refresh_token", "access_token"):
                assert user["auth_state"][token] == before["auth_state"][token]
            assert hub.api("GET", "/user", token=instance.api_tokens[name]).json()["name"] == name
            # A start needs no new login, and finds the home and the Secret.
            assert start(hub, cluster, name) == instance.homes[name]
            kept = tokens_in(cluster, f"access-token-{numbers[name]}")
            assert kept["own"] == f"{name}'s own"
            assert kept["access_token"] not in ("", "earlier")
            with Visitor(hub) as visitor:
                visitor.login(name)
            assert number(folder, name) == numbers[name]
            # The provider's first allowed group, as the earlier authenticator chose it.
            assert hub.user(name)["auth_state"]["primary_group"] == groups[0]
        token = program_token(instance)
        answer = httpx.get(
            f"{hub.url}hub/jwt_login", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        assert answer.raise_for_status().json()["user"] == PROGRAM  # no prefix, as before
        assert start(hub, cluster, PROGRAM) == instance.homes[PROGRAM]
        stop(hub, cluster, *instance.homes)
        claims = {c["metadata"]["name"] for c in cluster.all("persistentvolumeclaims", "hub")}
        assert claims == set(instance.homes.values())  # nobody got a second one
        names = {user["name"] for user in hub.api("GET", "/users").json()}
        assert names == {*PEOPLE, NEVER_LOGGED_IN, PROGRAM}
        anonymous = {log_in_without_a_name(hub, instance.provider) for _ in range(2)}
        assert len(anonymous) == 1  # the same at each login
        assert anonymous.pop().startswith("anon-")


def program_token(instance: Instance) -> str:
    """An access token of the program itself."""
    form = {"grant_type": "client_credentials", "scope": "openid"}
    url = instance.provider.endpoint("token")
    answer = httpx.post(url, data=form, auth=(PROGRAM, CLIENT_SECRET), timeout=60)
    return str(answer.raise_for_status().json()["access_token"])


def log_in_without_a_name(hub: Hub, provider: Provider) -> str:
    """Log in as somebody of whom the provider gives no name; the user that the hub knows."""
    provider.user("nameless", preferred_username="", entitlements=[VO])
    with Visitor(hub) as visitor:
        visitor.login("nameless")
        page = visitor.get("hub/home")
    found = re.search(r'user: "([^"]+)"', page.text)
    assert found, page.text
    return found[1]
