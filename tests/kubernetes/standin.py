"""A stand-in for a Kubernetes cluster: its API over HTTPS on a free loopback port, for tests.

Real clients work against it: kubernetes_asyncio, kubectl and Helm. It keeps everything in memory,
validates objects with Kubernetes' own schemas, lets pods go from Pending to Running and away, and
can really run a pod's first container as a process with its volumes mounted.
"""

import asyncio
import json
import secrets
import ssl
import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import psutil
from aiohttp import web

from ssm.testing.authority import Authority
from tests.kubernetes.controllers import Controllers
from tests.kubernetes.faults import Fault, Request
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.resources import BY_KIND, BY_PLURAL, Document
from tests.kubernetes.server import Server
from tests.kubernetes.store import Store

_T = TypeVar("_T")
_START_SECONDS = 60


class KubernetesStandin:
    """A cluster in a thread of this process. A context manager.

    Args:
        folder: where kubeconfig, certificates, claims and logs of pods are written.
        namespaces: made at the start, beside "default" and "kube-system". The kubeconfig's
            namespace is the first of them.
        run_pods: let the first container's command of each pod really run, in a sandbox.
        pending_seconds: how long a pod is Pending at least.
    """

    def __init__(
        self,
        folder: Path,
        *,
        namespaces: Sequence[str] = ("hub",),
        run_pods: bool = False,
        pending_seconds: float = 0.0,
    ) -> None:
        self.namespace = (*namespaces, "default")[0]
        self.folder = folder
        self.token = secrets.token_urlsafe(24)
        self.url = ""
        self.kubeconfig = folder / "kubeconfig"
        self.store = Store()
        self._kubelet = Kubelet(self.store, folder, runs=run_pods, pending_seconds=pending_seconds)
        self._server = Server(self.store, Controllers(self.store), self._kubelet, self.token)
        self._namespaces = dict.fromkeys(("default", "kube-system", *namespaces))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes")
        self._runner = web.AppRunner(self._application(), shutdown_timeout=1, access_log=None)

    # What tests ask of it, from any thread.

    @property
    def requests(self) -> tuple[Request, ...]:
        """All calls so far, discovery left out."""
        return self._in_loop(lambda: tuple(self._server.requests))

    def find(self, plural: str, name: str, namespace: str | None = None) -> Document | None:
        """A copy of one object; None where there is none. Namespace: the first, if not given."""
        place = self._place(plural, namespace)
        return self._in_loop(lambda: deepcopy(self.store.find(plural, place, name)))

    def get(self, plural: str, name: str, namespace: str | None = None) -> Document:
        """A copy of one object, which must be there."""
        place = self._place(plural, namespace)
        return self._in_loop(lambda: deepcopy(self.store.get(plural, place, name)))

    def all(self, plural: str, namespace: str | None = None) -> list[Document]:
        """Copies of all objects of a kind, of all namespaces if none is given."""
        return self._in_loop(lambda: deepcopy(self.store.all(plural, namespace)))

    def create(self, manifest: Document, namespace: str | None = None) -> Document:
        """Create an object, as a client would."""
        resource = BY_KIND[manifest["apiVersion"], manifest["kind"]]
        own = manifest.get("metadata", {}).get("namespace")
        place = self._place(resource.plural, namespace or own)
        return self._in_loop(lambda: deepcopy(self.store.create(resource, place, manifest)))

    def replace(self, manifest: Document) -> Document:
        """Replace an object, as a client would."""
        resource = BY_KIND[manifest["apiVersion"], manifest["kind"]]
        meta = manifest["metadata"]
        place = meta.get("namespace", "")
        return self._in_loop(
            lambda: deepcopy(self.store.replace(resource, place, meta["name"], manifest))
        )

    def remove(self, plural: str, name: str, namespace: str | None = None) -> None:
        """Remove an object at once, as if its node had died."""
        place = self._place(plural, namespace)
        self._in_loop(lambda: self.store.remove(plural, place, name))

    def fail(
        self,
        status: int,
        verb: str = "*",
        plural: str = "*",
        *,
        name: str = "",
        calls: int = 1,
        after: bool = False,
        seconds: float = 0.0,
    ) -> Fault:
        """Let the next `calls` calls of `verb` on `plural` fail; its `hits` count them.

        Args:
            status: of the answer.
            verb: get, list, watch, create, update, patch, delete, deletecollection or "*".
            plural: as "secrets", or "*".
            name: of one object; of any if empty.
            calls: how many.
            after: the call is carried out, only its answer is lost.
            seconds: how late the answer comes.
        """
        return self._fault(Fault(verb, plural, status, name, seconds, after, calls))

    def slow(self, seconds: float, verb: str = "*", plural: str = "*", *, calls: int = 1) -> Fault:
        """Let the next `calls` calls of `verb` on `plural` take `seconds` longer."""
        return self._fault(Fault(verb, plural, seconds=seconds, calls=calls))

    def forget(self) -> None:
        """Compact the history: watches that come with an older version are told 410."""
        self._in_loop(self.store.forget)

    def claim_folder(self, name: str, namespace: str | None = None) -> Path:
        """Where the files of a claim lie."""
        return self._kubelet.claims / (namespace or self.namespace) / name

    def log_of(self, pod: str, namespace: str | None = None) -> str:
        """What a pod's process wrote."""
        uid = self.get("pods", pod, namespace)["metadata"]["uid"]
        return self._in_loop(lambda: self._kubelet.log_of(uid))

    # Its life.

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_START_SECONDS)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_START_SECONDS)
        finally:
            self._end()

    async def left(self) -> None:
        """Wait until this process' clients have left.

        A client that was cut short closes its TLS connection some time after it said so.
        """
        port, process = urlsplit(self.url).port, psutil.Process()
        async with asyncio.timeout(_START_SECONDS):
            while any(  # noqa: ASYNC110 - the kernel is asked, which tells nobody
                getattr(one.raddr, "port", None) == port for one in process.net_connections("tcp")
            ):
                await asyncio.sleep(0.01)

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=8 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._server.handle)
        return application

    async def _start(self) -> None:
        for name in self._namespaces:
            self.store.create(BY_PLURAL["namespaces"], "", {"metadata": {"name": name}})
        standard = {"metadata": {"name": "standard"}, "provisioner": "example.org/standin"}
        self.store.create(BY_PLURAL["storageclasses"], "", standard)
        authority = Authority.create(self.folder / "pki")
        issued = authority.issue("localhost", key="ec", san=("127.0.0.1",), client=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.cert, issued.key)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        self._write_kubeconfig(authority.ca_file)

    async def _stop(self) -> None:
        self._server.closing.set()
        await self._kubelet.close()
        await self._runner.cleanup()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _write_kubeconfig(self, ca_file: Path) -> None:
        cluster = {"server": self.url, "certificate-authority": str(ca_file)}
        context = {"cluster": "standin", "user": "standin", "namespace": self.namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "standin", "cluster": cluster}],
            "users": [{"name": "standin", "user": {"token": self.token}}],
            "contexts": [{"name": "standin", "context": context}],
            "current-context": "standin",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(config), encoding="utf-8")

    def _place(self, plural: str, namespace: str | None) -> str:
        return (namespace or self.namespace) if BY_PLURAL[plural].namespaced else ""

    def _fault(self, fault: Fault) -> Fault:
        self._in_loop(lambda: self._server.faults.add(fault))
        return fault

    def _in_loop(self, work: Callable[[], _T]) -> _T:
        async def done() -> _T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(_START_SECONDS)
