"""What the spawner changes on a pod: pure functions over the parts that it is built from."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hub.spawner.profiles import is_open

Manifest = dict[str, Any]

OWNER = "hub.jupyter.org/username"
GROUP = "egi.eu/primary_group"
FLAVOR = "egi.eu/flavor"
"""The annotations that the accounting reads. `OWNER` is the user's name as it is, and on claims
a label too, with the name's slug."""

_HIDDEN_SIZE = "16Mi"


@dataclass(frozen=True)
class Parts:
    """The parts of a pod, as KubeSpawner's settings of the same meaning have them.

    Texts may hold KubeSpawner's templates, as `{username}`.
    """

    volumes: tuple[Manifest, ...] = ()
    volume_mounts: tuple[Manifest, ...] = ()
    init_containers: tuple[Manifest, ...] = ()
    extra_containers: tuple[Manifest, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    extra_annotations: Mapping[str, str] = field(default_factory=dict)


def plain(part: Any) -> Manifest:
    """A part of a pod as a manifest, also where the configuration gives an object of the client.

    Zero to JupyterHub's own configuration does, unless `cloudMetadata.blockWithIptables` is false.
    """
    if isinstance(part, Mapping):
        return dict(part)
    found: Manifest = _without_nulls(part.to_dict(serialize=True))
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def literal(text: str) -> str:
    """A text that KubeSpawner's templates leave as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def with_home(parts: Parts, claim: str, is_home: Callable[[str], bool]) -> Parts:
    """Let the volumes whose claim's name `is_home` be the user's home; all others stay."""

    def volume(given: Manifest) -> Manifest:
        source = given.get("persistentVolumeClaim")
        if not source or not is_home(source["claimName"]):
            return given
        return {**given, "persistentVolumeClaim": {**source, "claimName": claim}}

    return replace(parts, volumes=tuple(volume(given) for given in parts.volumes))


def with_tokens(parts: Parts, secret: str, volume: str, path: str, *, shown: bool) -> Parts:
    """Mount the Secret with the tokens: into the notebook if `shown`, into side-cars always.

    Where it is not shown, the notebook finds an empty folder in memory at the same path. A
    side-car that mounts the tokens by itself is left as it is.

    Args:
        parts: what the pod has so far; what it has under the volumes' names is replaced.
        secret: the Secret's name.
        volume: the volume of side-cars; the notebook's has `-user` after it.
        path: where the tokens are mounted.
        shown: whether the notebook sees them.
    """
    own = f"{volume}-user"
    tokens = {"secret": {"secretName": secret, "optional": True}}
    hidden = {"emptyDir": {"medium": "Memory", "sizeLimit": _HIDDEN_SIZE}}
    volumes = [{"name": own, **(tokens if shown else hidden)}]
    extra = tuple(_mounting(container, volume, path) for container in parts.extra_containers)
    init = tuple(
        _mounting(container, volume, path)
        if container.get("restartPolicy") == "Always"
        else container
        for container in parts.init_containers  # Kubernetes' own kind of side-car
    )
    if any(_mounts(container, volume) for container in (*extra, *init)):
        volumes.insert(0, {"name": volume, **tokens})
    environment = {"SECRETS_MOUNT_PATH": literal(path), "SECRETS_VOLUME_MOUNTED": str(int(shown))}
    mount = {"name": own, "mountPath": path, **({"readOnly": True} if shown else {})}
    return replace(
        parts,
        volumes=(*_without(parts.volumes, volume, own), *volumes),
        volume_mounts=(*_without(parts.volume_mounts, volume, own), mount),
        extra_containers=extra,
        init_containers=init,
        environment={**parts.environment, **environment},
    )


def _mounting(container: Manifest, volume: str, path: str) -> Manifest:
    mounts = container.get("volumeMounts") or []
    places = {str(mount.get("mountPath", "")).rstrip("/") for mount in mounts}
    if _mounts(container, volume) or path.rstrip("/") in places:
        return container
    mount = {"name": volume, "mountPath": path, "readOnly": True}
    return {**container, "volumeMounts": [*mounts, mount]}


def _mounts(container: Manifest, volume: str) -> bool:
    return any(mount.get("name") == volume for mount in container.get("volumeMounts") or [])


def _without(items: Iterable[Manifest], *names: str) -> Iterator[Manifest]:
    return (item for item in items if item["name"] not in names)


def with_annotations(parts: Parts, user: str, group: str, flavor: str) -> Parts:
    """Write down for the accounting whose pod it is; what is empty is not written.

    A flavor that the operator's configuration gives wins over the profile's name.
    """
    annotations = {**parts.extra_annotations, OWNER: literal(user)}
    if group:
        annotations[GROUP] = literal(group)
    if flavor:
        annotations.setdefault(FLAVOR, literal(flavor))
    return replace(parts, extra_annotations=annotations)


def with_additions(
    parts: Parts, additions: Iterable[Manifest], names: frozenset[str], flavor: str
) -> Parts:
    """Add what the configuration's additions bring for these groups and VOs and this profile.

    An addition is a mapping: `vo_claims` and `profiles` say for whom (none: for all), the other
    keys are `Parts`' own. A volume or container of a name that is there already replaces it, so
    that several additions can bring the same volume.
    """
    for addition in additions:
        wanted = addition.get("profiles") or ()
        if is_open(addition, names) and (not wanted or flavor in wanted):
            parts = Parts(
                volumes=_named(parts.volumes, addition.get("volumes")),
                volume_mounts=(*parts.volume_mounts, *addition.get("volume_mounts", ())),
                init_containers=_named(parts.init_containers, addition.get("init_containers")),
                extra_containers=_named(parts.extra_containers, addition.get("extra_containers")),
                environment={**parts.environment, **addition.get("environment", {})},
                extra_annotations={
                    **parts.extra_annotations,
                    **addition.get("extra_annotations", {}),
                },
            )
    return parts


def _named(there: Sequence[Manifest], added: Iterable[Manifest] | None) -> tuple[Manifest, ...]:
    return tuple({item["name"]: item for item in (*there, *(added or ()))}.values())


def wrong_addition(addition: Mapping[str, Any]) -> str:
    """What is wrong with an addition of the configuration; empty if nothing is."""
    lists = ("profiles", "volumes", "volume_mounts", "init_containers", "extra_containers")
    mappings = ("environment", "extra_annotations")
    known = {"vo_claims", *lists, *mappings}
    unknown = sorted(set(addition) - known)
    if unknown:
        return f"unknown key {unknown[0]!r}: use {', '.join(sorted(known))}"
    for key in lists:
        if not isinstance(addition.get(key, []), list | tuple):
            return f"{key!r} is not a list"
    for key in mappings:
        if not isinstance(addition.get(key, {}), Mapping):
            return f"{key!r} is not a mapping"
    for key in ("volumes", "volume_mounts", "init_containers", "extra_containers"):
        if not all(isinstance(item, Mapping) and "name" in item for item in addition.get(key, [])):
            return f"an item of {key!r} has no name"
    return ""
