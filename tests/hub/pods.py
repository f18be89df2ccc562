"""Users of a hub whose servers are pods of the stand-in, without the hub's web server."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.crypto import CryptKeeper
from jupyterhub.objects import Hub, Server
from jupyterhub.user import User
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import kube_config
from kubespawner import KubeSpawner, clients
from traitlets.config import Config

from hub.spawner import EGISpawner
from tests.kubernetes.standin import KubernetesStandin

SECONDS = 120

USUAL = {
    "image": "example.org/lab:1",
    "storage_pvc_ensure": True,
    "storage_capacity": "10Gi",
    "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}],
    "volume_mounts": [{"name": "home", "mountPath": "/home/jovyan"}],
    "k8s_api_request_retry_timeout": 10,
}
"""What a spawner of these tests has, if they say nothing else."""


TOKENS = {"access_token": "first access", "id_token": "first id"}
PROFILES = [
    {"display_name": "Small", "slug": "small"},
    {
        "display_name": "Big",
        "slug": "big",
        "vo_claims": ["vo.example.org"],
        "kubespawner_override": {"mem_guarantee": "8G", "environment": {"SIZE": "big"}},
    },
]


class Users:
    """Makes users and their spawners; everything else is JupyterHub's own."""

    def __init__(
        self, cluster: KubernetesStandin, settings: Mapping[str, Any], kind: type[EGISpawner]
    ) -> None:
        self.cluster = cluster
        self._kind = kind
        self._db = orm.new_session_factory("sqlite:///:memory:")()
        self._config = Config(
            {kind.__name__: {**USUAL, "namespace": cluster.namespace, **settings}}
        )
        self._hub = Hub(ip="127.0.0.1", port=8081, base_url="/hub/")

    async def user(self, name: str, groups: Iterable[str] = (), **auth_state: Any) -> User:
        """A user with these groups, who logged in with this auth_state."""
        row = self._db.query(orm.User).filter_by(name=name).one_or_none()
        if row is None:
            row = orm.User(name=name)
            self._db.add(row)
        row.groups = [self._group(group) for group in groups]
        self._db.commit()
        user = User(
            row,
            {
                "config": self._config,
                "spawner_class": self._kind,
                "hub": self._hub,
                "base_url": "/",
                "cookie_options": {},
            },
            db=self._db,
        )
        await user.save_auth_state(dict(auth_state))
        return user

    def _group(self, name: str) -> orm.Group:
        found = orm.Group.find(self._db, name)
        return found or orm.Group(name=name)

    def remember(self, user: User, **state: Any) -> None:
        """What the database keeps of the user's default server."""
        self._db.add(orm.Spawner(name="", user=user.orm_user, state=state))
        self._db.commit()

    def delete(self, user: User) -> None:
        """Forget a user, so that the next one gets the same id."""
        self._db.delete(user.orm_user)
        self._db.commit()

    def close(self) -> None:
        self._db.close()
        self._db.get_bind().dispose()


def spawner_of(user: User, server: str = "", **options: str) -> EGISpawner:
    """A user's spawner as the hub hands it out, with the choices of the form."""
    if hasattr(user, "get_or_create_spawner"):
        spawner = user.get_or_create_spawner(server, server)
    else:  # JupyterHub 5
        spawner = user.get_spawner(server)
    spawner.server = Server(ip="127.0.0.1", port=8888, base_url=f"/user/{server}")
    spawner.user_options = options
    spawner.api_token = "a-token-of-the-hub"
    spawner.oauth_client_id = f"jupyterhub-user-{user.id}-{server}"
    return spawner  # type: ignore[no-any-return]


@asynccontextmanager
async def _users(
    cluster: KubernetesStandin, settings: Mapping[str, Any], kind: type[EGISpawner]
) -> AsyncIterator[Users]:
    CryptKeeper.clear_instance()
    CryptKeeper.instance(keys=[bytes(32)])
    usual = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(cluster.kubeconfig)
    clients.load_config.cache_clear()
    users = Users(cluster, settings, kind)
    try:
        yield users
    finally:
        await KubeSpawner._stop_all_reflectors()
        KubeSpawner.reflectors.clear()
        kube_config.KUBE_CONFIG_DEFAULT_LOCATION = usual
        Configuration.set_default(None)
        users.close()
        CryptKeeper.clear_instance()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:  # the clients' closing tasks
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await cluster.left()


def with_users(
    cluster: KubernetesStandin,
    work: Callable[[Users], Awaitable[Any]],
    kind: type[EGISpawner] = EGISpawner,
    **settings: Any,
) -> Any:
    """Run `work` with users whose spawners have these settings."""

    async def inside() -> Any:
        async with _users(cluster, settings, kind) as users:
            return await asyncio.wait_for(work(users), SECONDS)

    return asyncio.run(inside())


async def manifest_of(spawner: EGISpawner) -> dict[str, Any]:
    """The pod that the spawner would start, as Kubernetes is sent it."""
    await spawner.load_user_options()
    pod = await spawner.get_pod_manifest()
    async with ApiClient(Configuration()) as client:
        found: dict[str, Any] = client.sanitize_for_serialization(pod)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def tokens_in(cluster: KubernetesStandin, name: str) -> dict[str, str]:
    """The plain values of a Secret."""
    data = cluster.get("secrets", name).get("data", {})
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def claim(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, **metadata},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


STORAGE = {"component": "singleuser-storage"}
"""The label of homes."""
OLD = "3a731b87c1f04d0e9b0a8a3c5d2e7f61"
"""The name of a home that the hub's database knows, from before claims were named after users."""


def of(user: str) -> dict[str, str]:
    return {"hub.jupyter.org/username": user}


def claim_in(pod: dict[str, Any]) -> str:
    (name,) = (
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if volume["name"] == "home"
    )
    return str(name)


def watched(user: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """A user's server, whose log is kept."""
    spawner = spawner_of(user)
    spawner.log.addHandler(caplog.handler)
    return spawner
