"""What the API server checks before it stores: names, labels, schemas, a pod's own sense."""

import base64
import binascii
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_validate.utils import all_versions, schema_contents
from referencing import Registry
from referencing import Resource as Schema

from tests.kubernetes.failure import Failure, invalid
from tests.kubernetes.resources import Resource

Document = dict[str, Any]

KUBERNETES = "1.34"

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_RBAC = "rbac.authorization.k8s.io"
_NAME_LENGTH, _LABEL_LENGTH = 253, 63
_SHORT_NAMES = ("services", "namespaces")


def check(resource: Resource, found: Document) -> None:
    """Raise what the real server would answer to this object."""
    _metadata(resource, found)
    _schema(found)
    if resource.plural == "secrets":
        _secret(found)
    if resource.plural == "pods":
        _pod(found)


def _metadata(resource: Resource, found: Document) -> None:
    meta = found["metadata"]
    name = meta["name"]
    length = _LABEL_LENGTH if resource.plural in _SHORT_NAMES else _NAME_LENGTH
    if resource.group != _RBAC and (len(name) > length or not _SUBDOMAIN.match(name)):
        problem = "a lowercase RFC 1123 subdomain consists of lower case alphanumeric characters"
        raise invalid(resource.kind, name, f'metadata.name: Invalid value: "{name}": {problem}')
    for field in ("labels", "annotations"):
        for key, value in (meta.get(field) or {}).items():
            if not _qualified(key) or not isinstance(value, str):
                raise invalid(resource.kind, name, f'metadata.{field}: Invalid value: "{key}"')
    for value in (meta.get("labels") or {}).values():
        if len(value) > _LABEL_LENGTH or not _LABEL.match(value):
            problem = "must be no more than 63 characters, alphanumeric, '-', '_' or '.'"
            raise invalid(
                resource.kind, name, f'metadata.labels: Invalid value: "{value}": {problem}'
            )


def _qualified(key: str) -> bool:
    prefix, _, name = key.rpartition("/")
    plain = bool(name) and len(name) <= _LABEL_LENGTH and bool(_LABEL.match(name))
    return plain and (not prefix or bool(_SUBDOMAIN.match(prefix)))


def _schema(found: Document) -> None:
    validator = _validator(found["kind"].lower(), found["apiVersion"])
    for error in validator.iter_errors(_without_nulls(found)):
        path = ".".join(str(part) for part in error.absolute_path)
        raise Failure(400, f"strict decoding error: {path}: {error.message}")


@cache
def _validator(kind: str, api_version: str) -> Draft202012Validator:
    """Kubernetes' own schema of a kind, without fields that it does not know."""
    version = next(name for name in all_versions() if name.startswith(f"{KUBERNETES}."))
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    group, slash, number = api_version.rpartition("/")
    name = f"{kind}-{group.partition('.')[0]}{slash and '-'}{number}.json"
    schema, definitions = (
        schema_contents(f"{folder}/{file}", KUBERNETES) for file in (name, "_definitions.json")
    )
    registry: Registry[Any] = Schema.from_contents(definitions) @ Registry()
    registry = Schema.from_contents(schema) @ registry
    return Draft202012Validator(schema, registry=registry)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _secret(found: Document) -> None:
    for key, value in (found.get("data") or {}).items():
        try:
            base64.b64decode(value or "", validate=True)
        except binascii.Error as exc:
            raise Failure(400, f"illegal base64 data in Secret.data.{key}") from exc


def _pod(found: Document) -> None:
    name, spec = found["metadata"]["name"], found["spec"]
    if not spec["containers"]:
        raise invalid("Pod", name, "spec.containers: Required value")
    volumes = [volume["name"] for volume in spec.get("volumes") or []]
    _unique(name, "spec.volumes.name", volumes)
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    _unique(name, "spec.containers.name", [container["name"] for container in containers])
    for container in containers:
        mounts = container.get("volumeMounts") or []
        _unique(name, "volumeMounts.mountPath", [mount["mountPath"] for mount in mounts])
        for mount in mounts:
            if mount["name"] not in volumes:
                raise invalid("Pod", name, f'volumeMounts.name: Not found: "{mount["name"]}"')


def _unique(name: str, field: str, values: list[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise invalid("Pod", name, f'{field}: Invalid value: "{twice[0]}": must be unique')
