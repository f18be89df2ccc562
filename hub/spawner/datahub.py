"""Data in Onedata (EGI DataHub): a token of the user's own for each start of a server.

Onezone gives a temporary token for the user's access token. It ends by itself: named tokens, which
EGI's earlier hub made, stay with the user until somebody deletes them.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from hub.spawner.manifests import Parts, literal

TOKEN = "onedata_token"  # noqa: S105 - the key in the Secret
PREFIX = "egi:"
"""What Onezone expects before an access token of Check-in."""

HOLDS_SECONDS = 7 * 86400
"""How long a token holds. A server that runs longer needs a new start; Onezone allows no longer."""

_PATH = "/api/v3/onezone/user/tokens/temporary"
_SECONDS = 10.0
_KEYS = frozenset({"onezone", "oneprovider", "prefix"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class DataHubError(Exception):
    """Onezone gave no token: why, without the user's tokens."""


async def temporary_token(given: Mapping[str, Any], access_token: str, now: float) -> str:
    """A token of Onedata for somebody with this access token.

    Args:
        given: the spawner's setting `datahub`; `wrong_datahub` finds nothing in it.
        access_token: of the user, as the provider gave it.
        now: Unix seconds.

    Raises:
        DataHubError: Onezone refused, did not answer, or not as it should.
    """
    url = f"{given['onezone'].rstrip('/')}{_PATH}"
    caveat = {"type": "time", "validUntil": int(now) + HOLDS_SECONDS}
    headers = {"X-Auth-Token": f"{given.get('prefix', PREFIX)}{access_token}"}
    wanted = {"type": {"accessToken": {}}, "caveats": [caveat]}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=_SECONDS)) as session,
            session.post(url, json=wanted, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status not in {200, 201}:
                raise DataHubError(f"{url} answered {answer.status}")
            token = json.loads(await answer.read())["token"]
    except (ClientError, TimeoutError, OSError) as exc:
        raise DataHubError(f"{url} does not answer ({type(exc).__name__})") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise DataHubError(f"{url} answered, but no token") from exc
    if not isinstance(token, str) or not token:
        raise DataHubError(f"{url} answered, but no token")
    return token


def with_datahub(parts: Parts, given: Mapping[str, Any], secret: str, *, shown: bool) -> Parts:
    """Tell the notebook where the data are, and its token if the notebook sees tokens at all.

    The names are Oneclient's. The token comes from the Secret, so that it stands in no manifest.
    """
    environment = {"ONEZONE_URL": literal(given["onezone"])}
    if given.get("oneprovider"):
        host = literal(given["oneprovider"])
        environment |= {"ONEPROVIDER_HOST": host, "ONECLIENT_PROVIDER_HOST": host}
    token = {"valueFrom": {"secretKeyRef": {"name": secret, "key": TOKEN, "optional": True}}}
    told = {"ONECLIENT_ACCESS_TOKEN": token} if shown else {}
    return replace(parts, environment={**environment, **told, **parts.environment})


def wrong_datahub(given: Mapping[str, Any]) -> str:
    """What is wrong with the setting, in one line; empty if nothing is."""
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        return f"unknown key {unknown[0]!r}: use {', '.join(sorted(_KEYS))}"
    if not all(isinstance(value, str) for value in given.values()):
        return "its values are texts"
    url = urlsplit(given.get("onezone", ""))
    if url.hostname and (url.scheme == "https" or url.hostname in _LOOPBACK):
        return ""
    return "'onezone' is not an https URL: for example 'https://datahub.egi.eu'"
