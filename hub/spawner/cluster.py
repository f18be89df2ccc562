"""The spawner's requests to Kubernetes beside KubeSpawner's own.

Answers are plain manifests. Transient failures are retried until a deadline. A refusal is an error;
it is not treated as "nothing there".
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiException

from hub.spawner.manifests import Manifest

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 3.0
_NOT_FOUND, _CONFLICT, _GONE, _TOO_MANY, _SERVER_ERROR = 404, 409, 410, 429, 500
_PAGE = 250
"""How many objects a listing asks for at a time."""
_RESTARTS = 3
"""How often a listing begins again whose next page has expired."""


class ClusterError(Exception):
    """Kubernetes could not be asked, or refused: what was asked, the answer and the cure."""

    def __init__(self, verb: str, what: str, status: int | None, cause: object) -> None:
        self.status = status
        if status is None or status >= _SERVER_ERROR or status == _TOO_MANY:
            cure = "see the API server's health, then try again"
        else:
            cure = (
                f"see that the hub's service account may {verb} {what.split(maxsplit=1)[0]}s there"
            )
        super().__init__(f"Kubernetes did not {verb} {what}: {cause}; {cure}")


class Cluster:
    """One namespace.

    Args:
        api: a CoreV1Api.
        namespace: its name.
        request_seconds: how long one request may take.
        retry_seconds: how long requests that fail for a passing reason are tried again.
    """

    def __init__(
        self, api: Any, namespace: str, *, request_seconds: float, retry_seconds: float
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._request_seconds = request_seconds
        self._retry_seconds = retry_seconds

    async def secret(self, name: str) -> Manifest | None:
        """A Secret; None where there is none."""
        call = self._api.read_namespaced_secret
        return await self._ask("get", f"secret {name}", call, name=name)

    async def create_secret(self, secret: Manifest) -> bool:
        """Create; False if there is one already."""
        call = self._api.create_namespaced_secret
        what = f"secret {secret['metadata']['name']}"
        return await self._ask("create", what, call, body=secret) is not None

    async def replace_secret(self, secret: Manifest) -> bool:
        """Replace the version that was read; False if it has changed since, or is gone."""
        name = secret["metadata"]["name"]
        call = self._api.replace_namespaced_secret
        return await self._ask("update", f"secret {name}", call, name=name, body=secret) is not None

    async def delete_secret(self, name: str) -> None:
        """Delete, if it is there."""
        call = self._api.delete_namespaced_secret
        await self._ask("delete", f"secret {name}", call, name=name)

    async def claim(self, name: str) -> Manifest | None:
        """A PersistentVolumeClaim; None where there is none."""
        call = self._api.read_namespaced_persistent_volume_claim
        return await self._ask("get", f"persistentvolumeclaim {name}", call, name=name)

    async def claims(self, selector: str) -> list[Manifest]:
        """The PersistentVolumeClaims that a label selector selects, read page by page."""
        call = self._api.list_namespaced_persistent_volume_claim
        what = f"persistentvolumeclaim with {selector}"
        found: list[Manifest] = []
        after: str | None = None
        begun = 0
        while True:
            more = {"_continue": after} if after else {}
            try:
                page = await self._ask(
                    "list", what, call, label_selector=selector, limit=_PAGE, **more
                )
            except ClusterError as exc:
                if exc.status != _GONE or not after or begun == _RESTARTS:
                    raise
                found, after, begun = [], None, begun + 1  # the next page has expired: list anew
                continue
            found += page["items"] if page else []
            after = ((page or {}).get("metadata") or {}).get("continue")
            if not after:
                return found

    async def label_claim(self, name: str, labels: Mapping[str, str]) -> None:
        """Add labels to a PersistentVolumeClaim, if it is there."""
        call = self._api.patch_namespaced_persistent_volume_claim
        body = {"metadata": {"labels": dict(labels)}}
        await self._ask("patch", f"persistentvolumeclaim {name}", call, name=name, body=body)

    async def _ask(
        self, verb: str, what: str, call: Callable[..., Awaitable[Any]], **arguments: Any
    ) -> Manifest | None:
        """The answer as a manifest; None for "not found" and "conflict"."""
        deadline = time.monotonic() + self._retry_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = await asyncio.wait_for(
                    call(namespace=self._namespace, **arguments), self._request_seconds
                )
            except ApiException as exc:
                status = int(exc.status or _SERVER_ERROR)
                if status in (_NOT_FOUND, _CONFLICT):
                    return None
                error = ClusterError(verb, what, status, f"{status} {exc.reason}")
                if status < _SERVER_ERROR and status != _TOO_MANY:
                    raise error from exc
            except (TimeoutError, aiohttp.ClientError) as exc:
                error = ClusterError(verb, what, None, str(exc) or "no answer in time")
            else:
                return self._api.api_client.sanitize_for_serialization(answer)  # type: ignore[no-any-return]
            if time.monotonic() + pause > deadline:
                raise error
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - only spreads load
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
