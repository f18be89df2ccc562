"""Kubernetes' protobuf, as far as Go's typed clients send it: Helm's releases, kubectl create.

A message is ``k8s\\0`` and a runtime.Unknown with the kind's name and its bytes. The field numbers
are those of the generated.proto files of k8s.io/api and k8s.io/apimachinery.
"""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.kubernetes.failure import Failure

MAGIC = b"k8s\0"
Fields = dict[int, tuple[str, Any]]  # number → name and how to read it; a list is repeated


def _text(raw: Any) -> str:
    return bytes(raw).decode()


def _base64(raw: Any) -> str:
    return base64.b64encode(bytes(raw)).decode()


def _number(raw: Any) -> int:
    return int(raw)


def _truth(raw: Any) -> bool:
    return bool(raw)


def _time(raw: Any) -> str | None:
    seconds = dict(_parts(raw)).get(1)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


_OWNER: Fields = {
    1: ("kind", _text),
    3: ("name", _text),
    4: ("uid", _text),
    5: ("apiVersion", _text),
    6: ("controller", _truth),
    7: ("blockOwnerDeletion", _truth),
}
_META: Fields = {
    1: ("name", _text),
    2: ("generateName", _text),
    3: ("namespace", _text),
    5: ("uid", _text),
    6: ("resourceVersion", _text),
    7: ("generation", _number),
    8: ("creationTimestamp", _time),
    9: ("deletionTimestamp", _time),
    11: ("labels", {"": _text}),
    12: ("annotations", {"": _text}),
    13: ("ownerReferences", [_OWNER]),
    14: ("finalizers", [_text]),
}
_KINDS: dict[str, Fields] = {
    "Namespace": {1: ("metadata", _META)},
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", {"": _text}),
        3: ("binaryData", {"": _base64}),
        4: ("immutable", _truth),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", {"": _base64}),
        3: ("type", _text),
        4: ("stringData", {"": _text}),
        5: ("immutable", _truth),
    },
    "ServiceAccount": {1: ("metadata", _META)},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", _number),
        2: ("preconditions", {1: ("uid", _text), 2: ("resourceVersion", _text)}),
        4: ("propagationPolicy", _text),
        5: ("dryRun", [_text]),
    },
}


def decode(body: bytes) -> dict[str, Any]:
    """The object that a protobuf body holds, as JSON would have it."""
    if not body.startswith(MAGIC):
        raise Failure(400, "the body is no protobuf of Kubernetes")
    unknown = dict(_parts(memoryview(body)[len(MAGIC) :]))
    types = {number: _text(value) for number, value in _parts(unknown[1])}
    kind = types.get(2, "")
    if kind not in _KINDS:
        raise Failure(415, f"this server reads {kind} as JSON or YAML only")
    found = _message(unknown.get(2, b""), _KINDS[kind])
    return {"apiVersion": types.get(1, ""), "kind": kind, **found}


def _message(raw: Any, fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _parts(raw):
        if number not in fields:
            continue
        name, reader = fields[number]
        if isinstance(reader, list):
            found.setdefault(name, []).append(_read(value, reader[0]))
        elif isinstance(reader, dict) and "" in reader:
            entry = dict(_parts(value))
            found.setdefault(name, {})[_text(entry[1])] = _read(entry.get(2, b""), reader[""])
        else:
            found[name] = _read(value, reader)
    return {name: value for name, value in found.items() if value not in (None, "")}


def _read(value: Any, reader: Any) -> Any:
    return _message(value, reader) if isinstance(reader, dict) else reader(value)


def _parts(raw: Any) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values: integers, or bytes for everything with a length."""
    view, place = memoryview(raw), 0
    while place < len(view):
        tag, place = _varint(view, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(view, place)
            yield number, value
        elif kind == 2:
            length, place = _varint(view, place)
            yield number, view[place : place + length]
            place += length
        else:
            raise Failure(400, f"unexpected wire type {kind}")


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
