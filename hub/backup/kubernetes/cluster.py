"""The Kubernetes API, as far as the backup needs it: claims, workers' pods, one ConfigMap."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes_asyncio import client, config

from hub.backup.kubernetes.claim import UNFINISHED, Claim
from hub.backup.kubernetes.worker import SELECTOR, Use, message_of, uses_of
from hub.program.failure import Failure

_CONFLICT, _NOT_FOUND = 409, 404
_LOOK_SECONDS = 1.0


@asynccontextmanager
async def connected() -> AsyncIterator["Cluster"]:
    """The cluster that this program runs in, else that of KUBECONFIG.

    Raises:
        Failure: neither is there, or the cluster refuses or cannot be reached.
    """
    configuration = client.Configuration()
    try:
        try:
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            path = os.environ.get("KUBECONFIG")
            await config.load_kube_config(path, client_configuration=configuration)
    except config.ConfigException as exc:
        raise Failure(
            "no Kubernetes cluster is known", "run it in a pod, or set KUBECONFIG"
        ) from exc
    async with client.ApiClient(configuration) as api:
        try:
            yield Cluster(api)
        except client.ApiException as exc:
            raise _refused(exc) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Failure(
                f"the Kubernetes API cannot be reached: {type(exc).__name__}",
                "see the pod's network, or KUBECONFIG",
            ) from exc


def _refused(exc: client.ApiException) -> Failure:
    return Failure(
        f"the Kubernetes API refused: {exc.status} {exc.reason}", "see the Role in docs/backup.md"
    )


class Cluster:
    """What is asked of the API, with manifests as plain JSON values.

    Args:
        api: the connection.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._core = client.CoreV1Api(api)

    def _plain(self, thing: Any) -> Any:
        return self._api.sanitize_for_serialization(thing)

    async def claims(self, namespace: str) -> list[Claim]:
        """All claims of a namespace."""
        found = await self._core.list_namespaced_persistent_volume_claim(namespace)
        return [Claim.from_manifest(self._plain(item)) for item in found.items]

    async def create_claim(self, claim: Claim) -> bool:
        """Make it: whether it was not there."""
        try:
            await self._core.create_namespaced_persistent_volume_claim(
                claim.namespace,
                claim.manifest(),  # type: ignore[arg-type] # any JSON will do
            )
        except client.ApiException as exc:
            if exc.status != _CONFLICT:
                raise
            return False
        return True

    async def finish_restore(self, claim: Claim) -> None:
        """Take the mark of an unfinished restore from a claim.

        Raises:
            Failure: the API refuses.
        """
        try:
            await self._core.patch_namespaced_persistent_volume_claim(
                claim.name, claim.namespace, {"metadata": {"annotations": {UNFINISHED: None}}}
            )
        except client.ApiException as exc:
            raise _refused(exc) from exc

    async def uses(self, namespace: str) -> dict[str, Use]:
        """Claim's name → which running pod uses it."""
        found = await self._core.list_namespaced_pod(namespace)
        return uses_of([self._plain(pod) for pod in found.items])

    async def remove_ended_workers(self, namespace: str) -> None:
        """Remove what interrupted runs left; those that work are left to their deadline."""
        found = await self._core.list_namespaced_pod(namespace, label_selector=SELECTOR)
        for pod in found.items:
            if pod.status.phase in {"Succeeded", "Failed"}:
                await self._remove(namespace, pod.metadata.name)

    async def run(
        self, pod: dict[str, Any], *, start_seconds: float, deadline_seconds: float
    ) -> str:
        """Run a worker to its end, and remove it: what it left, see ``message_of``.

        Raises:
            Failure: it was refused, did not start, or did not end in time.
        """
        try:
            return await self._run(pod, start_seconds, deadline_seconds)
        except client.ApiException as exc:
            raise _refused(exc) from exc

    async def _run(self, pod: dict[str, Any], start_seconds: float, deadline_seconds: float) -> str:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        await self._core.create_namespaced_pod(
            namespace,
            pod,  # type: ignore[arg-type] # any JSON will do
        )
        began = time.monotonic()
        try:
            while True:
                now = self._plain(await self._core.read_namespaced_pod(name, namespace))
                if message := message_of(now):
                    return message
                waited = time.monotonic() - began
                if now["status"].get("phase") == "Pending" and waited > start_seconds:
                    raise Failure(
                        f"its worker did not start within {start_seconds:.0f} s",
                        "the volume may be in use on another node, or the nodes full:"
                        " see the pod's events",
                    )
                if waited > deadline_seconds:
                    raise Failure(
                        f"its worker did not end within {deadline_seconds:.0f} s",
                        "raise NOTEBOOKS_BACKUP_VOLUME_TIMEOUT, or exclude what is large",
                    )
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await self._remove(namespace, name)

    async def _remove(self, namespace: str, name: str) -> None:
        try:
            await self._core.delete_namespaced_pod(name, namespace)
        except client.ApiException as exc:
            if exc.status != _NOT_FOUND:
                raise

    async def read_document(self, namespace: str, name: str) -> dict[str, str]:
        """A ConfigMap's data; empty if there is none."""
        try:
            found = await self._core.read_namespaced_config_map(name, namespace)
        except client.ApiException as exc:
            if exc.status != _NOT_FOUND:
                raise
            return {}
        return dict(found.data or {})

    async def write_document(self, namespace: str, name: str, data: dict[str, str]) -> None:
        """Set a ConfigMap's data; the chart makes the ConfigMap."""
        await self._core.patch_namespaced_config_map(name, namespace, {"data": data})
