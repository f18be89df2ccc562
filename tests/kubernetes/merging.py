"""The kinds of PATCH: JSON patch, merge patch, strategic merge patch, and server-side apply.

Strategic merging knows which lists are keyed from the names of their fields, which is how the
API's types are annotated for everything that this stand-in serves.
"""

from copy import deepcopy
from typing import Any

from tests.kubernetes.failure import Failure

Document = dict[str, Any]

_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "ports": ("containerPort", "port"),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "conditions": ("type",),
    "topologySpreadConstraints": ("topologyKey",),
}
_DIRECTIVES = ("$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys")


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(target: Any, patch: Any, field: str = "") -> Any:
    """A strategic merge patch: keyed lists are merged by their keys."""
    if isinstance(patch, list):
        return _keyed(target if isinstance(target, list) else [], patch, field)
    if not isinstance(patch, dict):
        return deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: deepcopy(value) for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        elif key.startswith(_DIRECTIVES):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = strategic(merged.get(key), value, key)
    return merged


def _key(field: str, items: list[Any]) -> str | None:
    """The field by which the items of this list are told apart; None for an atomic list."""
    if not all(isinstance(item, dict) for item in items):
        return None
    keyed = [item for item in items if set(item) != {"$patch"}]
    return next((k for k in _KEYS.get(field, ()) if all(k in item for item in keyed)), None)


def _keyed(target: list[Any], patch: list[Any], field: str) -> list[Any]:
    if field == "finalizers":
        return [*target, *(item for item in patch if item not in target)]
    key = _key(field, [*target, *patch])
    if key is None or {"$patch": "replace"} in patch:
        return [deepcopy(item) for item in patch if item != {"$patch": "replace"}]
    merged = {item[key]: item for item in target}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = strategic(merged.get(item[key]), item)
    return list(merged.values())


def apply(target: Document, applied: Document, before: Document) -> Document:
    """Server-side apply: what this manager applied ``before`` and no longer does goes."""
    return strategic(_without(target, before, applied), applied)  # type: ignore[no-any-return]


def _without(target: Any, before: Any, now: Any, field: str = "") -> Any:
    if isinstance(target, dict) and isinstance(before, dict) and isinstance(now, dict):
        kept = {}
        for key, value in target.items():
            if key in before and key not in now:
                continue
            kept[key] = _without(value, before.get(key), now.get(key), key)
        return kept
    if isinstance(target, list) and isinstance(before, list) and isinstance(now, list):
        key = _key(field, [*target, *before, *now])
        if key is None:
            return target
        olds, news = ({item[key]: item for item in items} for items in (before, now))
        return [
            _without(item, olds.get(item[key]), news.get(item[key]))
            for item in target
            if item[key] in news or item[key] not in olds
        ]
    return target


def json_patch(target: Document, operations: list[Document]) -> Document:
    """RFC 6902: add, remove, replace, test."""
    patched = deepcopy(target)
    for operation in operations:
        *path, last = (
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        )
        place: Any = patched
        try:
            for part in path:
                place = place[int(part)] if isinstance(place, list) else place[part]
            _step(operation, place, last)
        except (KeyError, IndexError, ValueError) as exc:
            raise Failure(422, f"the server rejected our request: {operation['path']}") from exc
    return patched


def _step(operation: Document, place: Any, last: str) -> None:
    kind, value = operation["op"], deepcopy(operation.get("value"))
    if isinstance(place, list):
        index = len(place) if last == "-" else int(last)
        if kind == "add":
            place.insert(index, value)
            return
        current = place[index]
    else:
        index = last  # type: ignore[assignment]
        current = place.get(last) if kind == "add" else place[last]
    if kind == "remove":
        del place[index]
    elif kind in ("add", "replace"):
        place[index] = value
    elif kind != "test":
        raise Failure(400, f"unknown JSON patch operation {kind!r}")
    elif current != value:
        raise Failure(422, f"testing value {operation['path']} failed")
