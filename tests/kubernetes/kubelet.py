"""A pod's life: Pending, Running when what it mounts is there, gone when it was deleted."""

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.kubernetes.controllers import claims_of
from tests.kubernetes.resources import BY_PLURAL
from tests.kubernetes.sandbox import Sandbox
from tests.kubernetes.store import Change, Document, Store, timestamp

_POLL_SECONDS = 0.05


class Kubelet:
    """Starts a task for each new pod.

    Args:
        store: where the pods are.
        folder: for claims, logs and other volumes.
        runs: whether the first container's command really runs.
        pending_seconds: how long a pod stays Pending at least.
    """

    def __init__(self, store: Store, folder: Path, *, runs: bool, pending_seconds: float) -> None:
        self.store = store
        self.claims = folder / "claims"
        self._folder = folder
        self._runs = runs
        self._pending_seconds = pending_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._deletions: dict[str, asyncio.Event] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._network = f"127.{secrets.randbelow(250) + 2}.{secrets.randbelow(250)}"
        self._addresses = 0
        store.listeners.append(self._on_change)

    def log_of(self, uid: str) -> str:
        sandbox = self._sandboxes.get(uid)
        return sandbox.log.read_text("utf-8", "replace") if sandbox else ""

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for sandbox in self._sandboxes.values():
            sandbox.stop()

    def _on_change(self, change: Change) -> None:
        if change.plural == "secrets":
            for sandbox in self._sandboxes.values():
                sandbox.refresh()
        if change.plural != "pods":
            return
        uid = change.now["metadata"]["uid"]
        if "deletionTimestamp" in change.now["metadata"] and uid in self._deletions:
            self._deletions[uid].set()
        if change.kind == "ADDED":
            self._deletions[uid] = asyncio.Event()
            self._tasks[uid] = asyncio.get_running_loop().create_task(self._live(change.now))
        elif change.kind == "DELETED" and uid in self._tasks:
            if uid in self._sandboxes:
                self._sandboxes[uid].stop()
            self._tasks.pop(uid).cancel()

    def _now(self, pod: Document) -> Document:
        meta = pod["metadata"]
        return self.store.get("pods", meta["namespace"], meta["name"])

    async def _live(self, pod: Document) -> None:
        uid = pod["metadata"]["uid"]
        await asyncio.sleep(self._pending_seconds)
        while missing := self._missing(pod):
            self._unschedulable(pod, missing)
            if await self._deleted(pod, _POLL_SECONDS):
                self._gone(pod)
                return
        address = self._address()
        self._event(pod, "Scheduled", "Successfully assigned to node-1")
        if self._runs:
            sandbox = Sandbox(pod, self.store, self.claims, self._folder / "pods" / uid)
            self._sandboxes[uid] = sandbox
            sandbox.start(address)
        running = {"running": {"startedAt": timestamp()}}
        self.store.update("pods", self._now(pod), status=_status(pod, "Running", running, address))
        self._event(pod, "Started", "Started container")
        while (code := self._ended(pod)) is None and not await self._deleted(pod, _POLL_SECONDS):
            pass
        if code is not None:
            terminated = {"exitCode": code, "finishedAt": timestamp()}
            if words := self._last_words(uid):
                terminated["message"] = words
            ended = {"terminated": terminated}
            phase = "Failed" if code else "Succeeded"
            self.store.update("pods", self._now(pod), status=_status(pod, phase, ended, address))
            await self._deleted(pod, None)
        self._gone(pod)

    def _ended(self, pod: Document) -> int | None:
        """The exit code; None while it runs. What is not really run and never restarted is done."""
        if self._runs:
            return self._sandboxes[pod["metadata"]["uid"]].ended()
        return 0 if pod["spec"]["restartPolicy"] == "Never" else None

    def _last_words(self, uid: str) -> str:
        """What the container wrote into its termination log, as much as Kubernetes keeps."""
        sandbox = self._sandboxes.get(uid)
        words = sandbox.last_words.read_bytes()[:4096] if sandbox else b""
        return words.decode("utf-8", "replace")

    async def _deleted(self, pod: Document, seconds: float | None) -> bool:
        """Whether somebody deletes the pod within so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._deletions[pod["metadata"]["uid"]].wait()
        return self._deletions[pod["metadata"]["uid"]].is_set()

    def _gone(self, pod: Document) -> None:
        meta = pod["metadata"]
        self.store.remove("pods", meta["namespace"], meta["name"])

    def _missing(self, pod: Document) -> str:
        """The first claim or secret that the pod waits for; empty when nothing is missing."""
        namespace = pod["metadata"]["namespace"]
        for name in claims_of(pod):
            if not self.store.find("persistentvolumeclaims", namespace, name):
                return f'persistentvolumeclaim "{name}" not found'
        for volume in pod["spec"].get("volumes") or []:
            secret = volume.get("secret")
            wanted = secret["secretName"] if secret and not secret.get("optional") else None
            if wanted and not self.store.find("secrets", namespace, wanted):
                return f'secret "{wanted}" not found'
        return ""

    def _unschedulable(self, pod: Document, missing: str) -> None:
        current = self._now(pod)
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        status = {"phase": "Pending", "conditions": [{**condition, "message": missing}]}
        if current["status"] != status:
            self.store.update("pods", current, status=status)
            self._event(pod, "FailedScheduling", missing)

    def _address(self) -> str:
        self._addresses += 1
        return f"{self._network}.{self._addresses}"

    def _event(self, pod: Document, reason: str, message: str) -> None:
        meta = pod["metadata"]
        reference = {key: meta[key] for key in ("name", "namespace", "uid")}
        event = {
            "metadata": {"generateName": f"{meta['name'][:200]}."},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", **reference},
            "reason": reason,
            "message": message,
            "type": "Warning" if reason.startswith("Failed") else "Normal",
            "source": {"component": "kubelet"},
            "firstTimestamp": timestamp(),
            "lastTimestamp": timestamp(),
            "count": 1,
        }
        with suppress(Exception):  # the namespace may be going
            self.store.create(BY_PLURAL["events"], meta["namespace"], event)


def _status(pod: Document, phase: str, state: dict[str, Any], address: str) -> Document:
    ready = phase == "Running"
    word = "True" if ready else "False"
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": f"sha256:{'0' * 63}1",
            "containerID": f"containerd://{container['name']}",
            "ready": ready,
            "started": ready,
            "restartCount": 0,
            "state": state,
            "lastState": {},
        }
        for container in pod["spec"]["containers"]
    ]
    return {
        "phase": phase,
        "startTime": timestamp(),
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "conditions": [
            {"type": kind, "status": word}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": containers,
    }
