"""D4Science's information system: what it describes in XML becomes profiles and volumes. Pure.

It lists generic resources; the body of each holds one option::

    <genericResources><Resource><Profile><Body>
      <ServerOption default="true">
        <AuthId>…</AuthId> <ImageId>…</ImageId>
        <Info><Name>…</Name> <Description>…</Description></Info>
        <Cut><Cores>4</Cores> <Memory unit="G">8</Memory></Cut>
      </ServerOption>
    or
      <VolumeOption><Name>…</Name> <Permission>Read-Write</Permission></VolumeOption>
    </Body></Profile></Resource> …
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from hub.oidc.errors import Unavailable

DATA_MANAGER = "Data-Manager"
"""The role in a research environment that may write to all of its volumes."""

_WRITABLE = "Read-Write"
_BODIES = "./Resource/Profile/Body/"


@dataclass(frozen=True, slots=True)
class ServerOption:
    """An environment: its id is what permissions name; `memory` is as Kubernetes writes it."""

    auth_id: str
    name: str
    description: str = ""
    image: str = ""
    cores: float | None = None
    memory: str = ""
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class VolumeOption:
    """A volume of the research environment."""

    name: str
    is_writable: bool


@dataclass(frozen=True, slots=True)
class Options:
    """What an information system offers, in its order."""

    servers: tuple[ServerOption, ...]
    volumes: tuple[VolumeOption, ...]


def options_of(document: bytes) -> Options:
    """Read the XML.

    Raises:
        Unavailable: It is not XML, or declares a document type, whose entities could read files
            or expand without a bound.
    """
    if b"<!DOCTYPE" in document.upper():
        raise Unavailable("the information system's answer has a document type (DOCTYPE)")
    try:
        root = ET.fromstring(document)  # noqa: S314 - what makes it unsafe is refused above
    except ET.ParseError as exc:
        raise Unavailable(f"the information system's answer is no XML: {exc}") from exc
    servers = tuple(_server(found) for found in root.iterfind(f"{_BODIES}ServerOption"))
    volumes = tuple(_volume(found) for found in root.iterfind(f"{_BODIES}VolumeOption"))
    return Options(
        servers=tuple(server for server in servers if server.auth_id),
        volumes=tuple(volume for volume in volumes if volume.name),
    )


def profiles(options: Options, permissions: Iterable[str]) -> list[dict[str, Any]]:
    """KubeSpawner's profiles of the environments that somebody may use; the default one first.

    Args:
        options: All that there are.
        permissions: The `auth_id` of those that are permitted.
    """
    permitted = set(permissions)
    found = [server for server in options.servers if server.auth_id in permitted]
    found.sort(key=lambda server: not server.is_default)
    return [_profile(server, number == 0) for number, server in enumerate(found)]


def volumes(options: Options, roles: Iterable[str]) -> dict[str, bool]:
    """The volumes by name, with whether somebody with these roles may write there."""
    manages = DATA_MANAGER in set(roles)
    return {volume.name: manages or volume.is_writable for volume in options.volumes}


def _server(found: ET.Element) -> ServerOption:
    auth_id = _text(found, "AuthId")
    memory = found.find("Cut/Memory")
    unit = memory.get("unit", "") if memory is not None else ""
    return ServerOption(
        auth_id=auth_id,
        name=_text(found, "Info/Name") or auth_id,
        description=_text(found, "Info/Description"),
        image=_text(found, "ImageId"),
        cores=_cores(_text(found, "Cut/Cores")),
        memory=_memory(_text(found, "Cut/Memory"), unit),
        is_default=found.get("default") == "true",
    )


def _volume(found: ET.Element) -> VolumeOption:
    return VolumeOption(_text(found, "Name"), _text(found, "Permission") == _WRITABLE)


def _text(found: ET.Element, path: str) -> str:
    return (found.findtext(path) or "").strip()


def _cores(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # the spawner's default, as with none


def _memory(text: str, unit: str) -> str:
    """KubeSpawner knows K, M, G and T; `GB` and `Gi` say the same here."""
    return f"{text}{unit.strip()[:1].upper()}" if text.replace(".", "", 1).isdigit() else ""


def _profile(server: ServerOption, is_default: bool) -> dict[str, Any]:
    override = {"image": server.image, "cpu_limit": server.cores, "mem_limit": server.memory}
    size = [
        *([f"{server.cores:g} cores"] if server.cores else []),
        *([f"{server.memory} memory"] if server.memory else []),
    ]
    return {
        "display_name": server.name + (f" - {' / '.join(size)}" if size else ""),
        "description": server.description,
        "slug": server.auth_id,
        "kubespawner_override": {name: value for name, value in override.items() if value},
        "default": is_default,
    }
