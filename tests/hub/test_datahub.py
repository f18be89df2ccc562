"""Tokens of Onedata (DataHub) for users' servers, from a stand-in of Onezone."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from traitlets import TraitError

from tests.hub.pods import TOKENS, Users, manifest_of, spawner_of, tokens_in, with_users
from tests.kubernetes.standin import KubernetesStandin

HOST = "oneprovider.example.org"
PATH = "/api/v3/onezone/user/tokens/temporary"
Asked = list[tuple[str, dict[str, Any]]]
Answer = Callable[[], web.Response]


def given() -> web.Response:
    return web.json_response({"token": "of-onedata"}, status=201)


@asynccontextmanager
async def onezone(asked: Asked, answer: Answer = given) -> AsyncIterator[str]:
    """A Onezone that answers so; `asked` gets who asked, and for what."""

    async def temporary(request: web.Request) -> web.Response:
        asked.append((request.headers["X-Auth-Token"], await request.json()))
        return answer()

    app = web.Application()
    app.add_routes([web.post(PATH, temporary)])
    async with TestServer(app) as server:
        yield str(server.make_url(""))


async def pod_of(users: Users, url: str, **wanted: object) -> dict[str, Any]:
    spawner = spawner_of(await users.user("alice", **TOKENS))
    spawner.datahub = {"onezone": url, "oneprovider": HOST}
    for name, value in wanted.items():
        setattr(spawner, name, value)
    return await manifest_of(spawner)


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_a_user_s_own_token_reaches_the_notebook_through_the_secret(
    cluster: KubernetesStandin,
) -> None:
    asked: Asked = []

    async def work(users: Users) -> dict[str, Any]:
        async with onezone(asked) as url:
            return await pod_of(users, url, mount_secrets_volume=True)

    pod = with_users(cluster, work)
    ((who, wanted),) = asked
    assert who == "egi:first access"
    assert wanted["type"] == {"accessToken": {}}
    (caveat,) = wanted["caveats"]
    assert caveat["type"] == "time"
    assert 0 < caveat["validUntil"] - time.time() <= 7 * 86400
    assert tokens_in(cluster, "access-token-1") == {**TOKENS, "onedata_token": "of-onedata"}
    told = environment(pod)
    assert told["ONECLIENT_ACCESS_TOKEN"] == {
        "secretKeyRef": {"name": "access-token-1", "key": "onedata_token", "optional": True}
    }
    assert told["ONEPROVIDER_HOST"] == told["ONECLIENT_PROVIDER_HOST"] == HOST
    assert told["ONEZONE_URL"].startswith("http://127.0.0.1:")
    assert "of-onedata" not in str(pod)
    cluster.create(pod)  # and Kubernetes takes it


def test_a_notebook_that_sees_no_tokens_gets_none_of_onedata_and_side_cars_do(
    cluster: KubernetesStandin,
) -> None:
    sidecar = {"name": "oneclient", "image": "example.org/oneclient:1"}

    async def work(users: Users) -> dict[str, Any]:
        async with onezone([]) as url:
            return await pod_of(users, url, extra_containers=[sidecar])

    pod = with_users(cluster, work)
    assert "ONECLIENT_ACCESS_TOKEN" not in environment(pod)
    assert environment(pod)["ONEPROVIDER_HOST"] == HOST
    (mount,) = pod["spec"]["containers"][1]["volumeMounts"]
    assert mount["name"] == "secret-1"


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=401),
        lambda: web.Response(status=500),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
        lambda: web.Response(text="<html>"),
        lambda: web.json_response(["token"]),
        lambda: web.json_response({"token": None}),
    ],
    ids=["refused", "broken", "elsewhere", "page", "list", "null"],
)
def test_a_server_starts_without_a_token_when_datahub_gives_none(
    cluster: KubernetesStandin, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(users: Users) -> dict[str, Any]:
        async with onezone([], answer) as url:
            return await pod_of(users, url)

    assert with_users(cluster, work)["kind"] == "Pod"
    assert tokens_in(cluster, "access-token-1") == TOKENS
    assert "first access" not in caplog.text


def test_a_server_starts_while_datahub_is_away_or_the_user_never_logged_in(
    cluster: KubernetesStandin,
) -> None:
    asked: Asked = []

    async def work(users: Users) -> None:
        await pod_of(users, "http://127.0.0.1:9")
        async with onezone(asked) as url:
            spawner = spawner_of(await users.user("robot"))
            spawner.datahub = {"onezone": url}
            await manifest_of(spawner)

    with_users(cluster, work)
    assert asked == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"url": "https://datahub.egi.eu"}, "unknown key 'url'"),
        ({"oneprovider": HOST}, "'onezone' is not an https URL"),
        ({"onezone": "http://datahub.egi.eu"}, "'onezone' is not an https URL"),
        ({"onezone": "https://datahub.egi.eu", "prefix": None}, "its values are texts"),
    ],
)
def test_a_wrong_setting_stops_the_hub(
    cluster: KubernetesStandin, setting: dict[str, Any], said: str
) -> None:
    async def work(users: Users) -> None:
        spawner_of(await users.user("alice"))

    with pytest.raises(TraitError, match=said):
        with_users(cluster, work, datahub=setting)
