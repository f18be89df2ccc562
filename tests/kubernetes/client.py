"""A small client of the Kubernetes API for tests, with the answers as they are."""

import base64
import json
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

Document = dict[str, Any]
_APPLY = "application/apply-patch+yaml"


class Client:
    """Asks the API server of a kubeconfig. A context manager.

    Args:
        kubeconfig: its current context counts; a token or a client certificate.
        as_user: impersonate this user, such as ``system:serviceaccount:hub:hub``.
    """

    def __init__(self, kubeconfig: Path, as_user: str = "") -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        (context,) = (
            one["context"] for one in config["contexts"] if one["name"] == config["current-context"]
        )
        cluster, user = _named(config, "cluster", context), _named(config, "user", context)
        headers = {"Impersonate-User": as_user} if as_user else {}
        if token := user.get("token"):
            headers["Authorization"] = f"Bearer {token}"
        self.http = httpx.Client(
            base_url=cluster["server"],
            verify=_context(cluster, user, kubeconfig.parent),
            headers=headers,
            timeout=60,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()

    def is_ready(self) -> bool:
        """Whether the API server serves."""
        return self.http.get("/readyz").is_success

    def is_node_ready(self, name: str) -> bool:
        """Whether a node is ready."""
        conditions = self.get(f"/api/v1/nodes/{name}")["status"].get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def get(self, path: str, **query: Any) -> Document:
        """An object or a list, which must be there."""
        return _content(self.http.get(path, params=query))

    def find(self, path: str) -> Document | None:
        """An object; None where there is none."""
        answer = self.http.get(path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _content(answer)

    def list(self, path: str, **query: Any) -> list[Document]:
        """The objects of a collection."""
        items: list[Document] = self.get(path, **query)["items"]
        return items

    def post(self, path: str, body: Document) -> Document:
        """Create an object in a collection."""
        return _content(self.http.post(path, json=body))

    def patch(self, path: str, body: Document, kind: str = "strategic-merge") -> Document:
        """Change an object by a strategic merge patch, or by the ``merge`` or ``json`` kind."""
        headers = {"Content-Type": f"application/{kind}-patch+json"}
        return _content(self.http.patch(path, content=json.dumps(body), headers=headers))

    def delete(self, path: str, **query: Any) -> None:
        """Delete an object; none is fine."""
        answer = self.http.delete(path, params=query)
        if answer.status_code != httpx.codes.NOT_FOUND:
            _content(answer)

    def apply(self, manifest: Document) -> Document:
        """Make or change a cluster's or a namespace's object, by server-side apply."""
        query = {"fieldManager": "tests", "force": "true"}
        headers = {"Content-Type": _APPLY}
        return _content(
            self.http.patch(
                path_of(manifest), params=query, content=json.dumps(manifest), headers=headers
            )
        )


def path_of(manifest: Document) -> str:
    """Where an object lies."""
    version, meta = manifest["apiVersion"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    place = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    kind = manifest["kind"].lower()
    plural = kind[:-1] + "ies" if kind.endswith("y") else kind + ("es" if kind[-1] == "s" else "s")
    return f"{root}{place}/{plural}/{meta['name']}"


def _content(answer: httpx.Response) -> Document:
    if answer.is_error:
        msg = f"{answer.request.method} {answer.request.url.path}: {answer.text}"
        raise httpx.HTTPStatusError(msg, request=answer.request, response=answer)
    content: Document = answer.json()
    return content


def _named(config: Document, kind: str, context: Document) -> Document:
    found: Document
    (found,) = (one[kind] for one in config[f"{kind}s"] if one["name"] == context[kind])
    return found


def _context(cluster: Document, user: Document, folder: Path) -> ssl.SSLContext:
    """Trust the cluster's authority; show the user's certificate if there is one."""
    authority = cluster.get("certificate-authority")
    data = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(
        cafile=str(folder / authority) if authority else None,
        cadata=base64.b64decode(data).decode() if data else None,
    )
    if "client-certificate" in user:
        context.load_cert_chain(folder / user["client-certificate"], folder / user["client-key"])
    elif "client-certificate-data" in user:
        pair = folder / f".client-{abs(hash(user['client-certificate-data']))}.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(
            base64.b64decode(user["client-certificate-data"])
            + base64.b64decode(user["client-key-data"])
        )
        context.load_cert_chain(pair)
        pair.unlink()
    return context
