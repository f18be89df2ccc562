"""The HTTP side of the stand-in: paths, verbs, watching, and Status objects for failures."""

import asyncio
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import yaml
from aiohttp import web

from tests.kubernetes import resources
from tests.kubernetes.controllers import Controllers
from tests.kubernetes.failure import Failure
from tests.kubernetes.faults import Faults, Request
from tests.kubernetes.kubelet import Kubelet
from tests.kubernetes.merging import apply, json_patch, merge, strategic
from tests.kubernetes.resources import Document, Resource, resource_at
from tests.kubernetes.selector import fields_match, labels_match
from tests.kubernetes.store import Change, Store, timestamp
from tests.kubernetes.validity import KUBERNETES
from tests.kubernetes.wire import decode

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Matches = Callable[[Document], bool]


class Server:
    """Answers one cluster's requests from its store."""

    def __init__(
        self, store: Store, controllers: Controllers, kubelet: Kubelet, token: str
    ) -> None:
        self.faults = Faults()
        self.requests: list[Request] = []
        self.closing = asyncio.Event()
        self._store = store
        self._controllers = controllers
        self._kubelet = kubelet
        self._token = token
        self._applied: dict[tuple[str, str, str, str], Document] = {}

    async def handle(self, http: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(http)
            return await self._answer(http)
        except Failure as failure:
            return web.json_response(failure.status(), status=failure.code)

    def _authenticate(self, http: web.Request) -> None:
        given = http.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise Failure(401, "Unauthorized")

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        document = _discovery(http)
        if document is not None:
            return web.json_response(document)
        call = _Call.of(http)
        self.requests.append(call.request)
        fault = self.faults.take(call.request)
        if fault:
            await asyncio.sleep(fault.seconds)
            if fault.status and not fault.after:
                raise Failure(fault.status, f"{call.request.verb} was made to fail")
        body = await _body(http)
        if call.request.verb == "watch":
            return await self._watch(http, call)
        answer = self._carry_out(http, call, body)
        if fault and fault.status and fault.after:
            raise Failure(fault.status, f"{call.request.verb} was done, then made to fail")
        return answer

    def _carry_out(self, http: web.Request, call: "_Call", body: Any) -> web.Response:
        resource, request = call.resource, call.request
        where = (resource.plural, request.namespace, request.name)
        if call.subresource == "log":
            return web.Response(
                text=self._kubelet.log_of(self._store.get(*where)["metadata"]["uid"])
            )
        if request.verb in ("get", "list"):
            found = self._store.get(*where) if request.name else self._list(http, call)
            return web.json_response(found)
        return self._change(http, call, body, where)

    def _change(
        self, http: web.Request, call: "_Call", body: Any, where: tuple[str, str, str]
    ) -> web.Response:
        resource, request = call.resource, call.request
        dry = "dryRun" in http.query
        match request.verb:
            case "create":
                made = self._store.create(resource, request.namespace, body, dry=dry)
                return web.json_response(made, status=201)
            case "update":
                self._store.get(*where)
                if call.subresource:
                    body = {**self._store.get(*where), call.subresource: body.get(call.subresource)}
                return web.json_response(self._store.replace(resource, *where[1:], body, dry=dry))
            case "patch":
                return self._patch(http, call, body, dry=dry)
            case "delete":
                return web.json_response(self._delete(http, resource, where, body or {}, dry=dry))
            case _:
                found = self._list(http, call)
                for item in found["items"]:
                    meta = item["metadata"]
                    place = (resource.plural, meta.get("namespace", ""), meta["name"])
                    self._delete(http, resource, place, body or {}, dry=dry)
                return web.json_response(found)

    def _list(self, http: web.Request, call: "_Call") -> Document:
        matches = _matches(http, call)
        namespace = call.request.namespace or None
        found = self._store.all(call.resource.plural, namespace)
        items, after = _page(http, [item for item in found if matches(item)])
        return {
            "kind": f"{call.resource.kind}List",
            "apiVersion": call.resource.api_version,
            "metadata": {"resourceVersion": str(self._store.version), **after},
            "items": [_listed(call.resource, item) for item in items],
        }

    def _patch(self, http: web.Request, call: "_Call", body: Any, *, dry: bool) -> web.Response:
        resource, request = call.resource, call.request
        current = self._store.find(resource.plural, request.namespace, request.name)
        if http.content_type == "application/apply-patch+yaml":
            manager = http.query.get("fieldManager", "")
            key = (manager, resource.plural, request.namespace, request.name)
            before = self._applied.get(key, {})
            if not dry:
                self._applied[key] = deepcopy(body)
            if current is None:
                made = self._store.create(resource, request.namespace, body, dry=dry)
                return web.json_response(made, status=201)
            new = apply(current, body, before)
        else:
            current = self._store.get(resource.plural, request.namespace, request.name)
            kinds: dict[str, Callable[[Any, Any], Any]] = {
                "application/merge-patch+json": merge,
                "application/strategic-merge-patch+json": strategic,
                "application/json-patch+json": json_patch,
            }
            if http.content_type not in kinds:
                raise Failure(415, f"unknown format of the body: {http.content_type}")
            new = kinds[http.content_type](deepcopy(current), body)
        done = self._store.replace(resource, request.namespace, request.name, new, dry=dry)
        return web.json_response(done)

    def _delete(
        self,
        http: web.Request,
        resource: Resource,
        where: tuple[str, str, str],
        options: Document,
        *,
        dry: bool,
    ) -> Document:
        found = self._store.get(*where)
        meta = found["metadata"]
        for field, value in (options.get("preconditions") or {}).items():
            if value not in (None, meta.get(field)):
                raise Failure(409, f"Precondition failed: {field} in precondition: {value}")
        if dry:
            return found
        for key in [key for key in self._applied if key[1:] == where]:
            del self._applied[key]
        grace = options.get("gracePeriodSeconds", http.query.get("gracePeriodSeconds"))
        if resource.plural == "pods" and grace not in (0, "0"):
            seconds = found["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
            return self._terminate(resource, found, int(seconds))
        if resource.plural == "persistentvolumeclaims" and meta.get("finalizers"):
            claim = self._terminate(resource, found, 0)
            self._controllers.finish_claim(claim)
            return claim
        self._store.remove(*where)
        details = {"name": meta["name"], "kind": resource.plural, "uid": meta["uid"]}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }

    def _terminate(self, resource: Resource, found: Document, seconds: int) -> Document:
        if "deletionTimestamp" in found["metadata"]:
            return found
        marks = {"deletionTimestamp": timestamp(), "deletionGracePeriodSeconds": seconds}
        return self._store.update(resource.plural, found, metadata=marks)

    async def _watch(self, http: web.Request, call: "_Call") -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(http)
        changes: asyncio.Queue[Change] = asyncio.Queue()
        listen = changes.put_nowait
        self._store.listeners.append(listen)
        closed = asyncio.ensure_future(self.closing.wait())
        try:
            for line in self._past(http, call):
                await response.write(line)
            seconds = float(http.query.get("timeoutSeconds") or 3600)
            async with asyncio.timeout(seconds):
                await self._stream(response, _matches(http, call), call, changes, closed)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._store.listeners.remove(listen)
            closed.cancel()
        return response

    def _past(self, http: web.Request, call: "_Call") -> list[bytes]:
        """What a watch begins with: the changes since a version, or the state now."""
        matches = _matches(http, call)
        since = http.query.get("resourceVersion", "")
        initial = http.query.get("sendInitialEvents") == "true"
        if since not in ("", "0") and not initial:
            if int(since) < self._store.forgotten:
                return [_line("ERROR", Failure(410, f"too old resource version: {since}").status())]
            changes = [c for c in self._store.history if c.version > int(since)]
            return [line for c in changes for line in _seen(c, call, matches)]
        lines = [_line("ADDED", item) for item in self._list(http, call)["items"]]
        if initial:
            meta = {
                "resourceVersion": str(self._store.version),
                "annotations": {"k8s.io/initial-events-end": "true"},
            }
            kind = {"kind": call.resource.kind, "apiVersion": call.resource.api_version}
            lines.append(_line("BOOKMARK", {**kind, "metadata": meta}))
        return lines

    async def _stream(
        self,
        response: web.StreamResponse,
        matches: Matches,
        call: "_Call",
        changes: "asyncio.Queue[Change]",
        closed: "asyncio.Future[Any]",
    ) -> None:
        while not closed.done():
            change = asyncio.ensure_future(changes.get())
            try:
                await asyncio.wait((change, closed), return_when=asyncio.FIRST_COMPLETED)
                if change.done():
                    for line in _seen(change.result(), call, matches):
                        await response.write(line)
            finally:
                change.cancel()


class _Call:
    """What a path and a method ask for."""

    def __init__(self, resource: Resource, request: Request, subresource: str) -> None:
        self.resource = resource
        self.request = request
        self.subresource = subresource

    @classmethod
    def of(cls, http: web.Request) -> "_Call":
        root, rest = _split(http.path)
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and resource_at(root, rest[2]):
            namespace, rest = rest[1], rest[2:]
        resource = resource_at(root, rest[0])
        if resource is None or len(rest) > 3:
            raise Failure(404, "the server could not find the requested resource")
        name = rest[1] if len(rest) > 1 else ""
        subresource = rest[2] if len(rest) > 2 else ""
        if subresource and subresource not in ("status", *resource.subresources):
            raise Failure(404, "the server could not find the requested resource")
        selector = http.query.get("labelSelector", "")
        request = Request(_verb(http, name), resource.plural, namespace, name, selector)
        if resource.namespaced and not namespace and request.verb not in ("list", "watch"):
            raise Failure(405, "the server does not allow this method on the requested resource")
        return cls(resource, request, subresource)


def _page(http: web.Request, items: list[Document]) -> tuple[list[Document], dict[str, str]]:
    """A page as `limit` and `continue` ask for it, and where the next one begins."""

    def key(item: Document) -> list[str]:
        return [item["metadata"].get("namespace", ""), item["metadata"]["name"]]

    if token := http.query.get("continue"):
        try:
            last = json.loads(b64decode(token, validate=True))
        except ValueError:
            raise Failure(400, "continue key is not valid") from None
        items = [item for item in items if key(item) > last]
    limit = int(http.query.get("limit") or 0)
    if not limit or len(items) <= limit:
        return items, {}
    page = sorted(items, key=key)[:limit]
    return page, {"continue": b64encode(json.dumps(key(page[-1])).encode()).decode()}


def _split(path: str) -> tuple[str, list[str]]:
    parts = path.strip("/").split("/")
    length = {"api": 2, "apis": 3}.get(parts[0], len(parts))
    if len(parts) <= length:
        raise Failure(404, "the server could not find the requested resource")
    return "/" + "/".join(parts[:length]), parts[length:]


def _verb(http: web.Request, name: str) -> str:
    if http.method == "GET" and http.query.get("watch") in ("1", "true", "True"):
        return "watch"
    if http.method == "GET" and not name:
        return "list"
    if http.method == "DELETE" and not name:
        return "deletecollection"
    if http.method not in _VERBS or (http.method == "POST") == bool(name):
        raise Failure(405, "the server does not allow this method on the requested resource")
    return _VERBS[http.method]


async def _body(http: web.Request) -> Any:
    raw = await http.read()
    if not raw:
        return None
    if http.content_type == "application/vnd.kubernetes.protobuf":
        return decode(raw)
    try:
        return yaml.safe_load(raw) if "yaml" in http.content_type else json.loads(raw)
    except (ValueError, yaml.YAMLError) as exc:
        raise Failure(400, f"the body could not be parsed: {exc}") from exc


def _matches(http: web.Request, call: _Call) -> Matches:
    labels = labels_match(http.query.get("labelSelector", ""))
    fields = fields_match(http.query.get("fieldSelector", ""))
    name = call.request.name  # watching one object

    def both(found: Document) -> bool:
        meta = found["metadata"]
        return name in ("", meta["name"]) and labels(meta.get("labels") or {}) and fields(found)

    return both


def _listed(resource: Resource, item: Document) -> Document:
    """An item of a list: the list says what kind its items are; only custom ones say it again."""
    if "." in resource.group.removesuffix(".k8s.io"):
        return item
    return {key: value for key, value in item.items() if key not in ("apiVersion", "kind")}


def _seen(change: Change, call: _Call, matches: Matches) -> list[bytes]:
    """A change as a watch with selectors sees it: leaving the selection is being deleted."""
    meta = change.now["metadata"]
    if change.plural != call.resource.plural:
        return []
    if call.request.namespace not in ("", meta.get("namespace", "")):
        return []
    was = change.before is not None and matches(change.before)
    now = change.kind != "DELETED" and matches(change.now)
    if not was and not now:
        return []
    kind = {(True, True): "MODIFIED", (True, False): "DELETED", (False, True): "ADDED"}[was, now]
    return [_line(kind, change.now)]


def _line(kind: str, found: Document) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def _discovery(http: web.Request) -> Document | None:
    path = http.path.rstrip("/")
    if path == "/version":
        major, minor = KUBERNETES.split(".")
        return {
            "major": major,
            "minor": minor,
            "gitVersion": f"v{KUBERNETES}.0",
            "platform": "linux/amd64",
        }
    if path == "/api":
        return resources.api_versions(http.host)
    if path == "/apis":
        return resources.group_list()
    if path == "/openapi/v3":
        return resources.openapi_index()
    if path.startswith("/openapi/v3/"):
        return resources.openapi(path.removeprefix("/openapi/v3"))
    return resources.resource_list(path)
