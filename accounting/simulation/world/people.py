"""The people who start notebooks: names as opaque as real ones, entitlements, and pod names."""

import re
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from accounting.simulation.judges.truth import Owner

ODD_NAMES = (
    "Žofia Ünïcode-ñandú@example.org",
    "用户-七@example.org",
    "quote\"d 'name'@example.org",
    "back\\slash\\@example.org",
    "percent%%sign@example.org",
    "line\nbreak@example.org",
    "long-" + "x" * 63 + "@example.org",
    "comma,equals={curly}@example.org",
    "back\\nslash-n@example.org",
)
"""User names that break naive quoting; one has 80 characters."""


@dataclass(frozen=True, slots=True)
class Group:
    """A primary group: its entitlement URN, its VO and its FQAN."""

    urn: str
    vo: str
    fqan: str


def _group(path: str, role: str = "") -> Group:
    urn = f"urn:mace:egi.eu:group:{path}" + (f":role={role}" if role else "") + "#aai.egi.eu"
    fqan = "/" + path.replace(":", "/") + (f"/Role={role}" if role else "")
    return Group(urn, path.split(":", 1)[0], fqan)


GROUPS = (
    _group("vo.example.org", "vm_operator"),
    _group("vo.example.org:analysis", "member"),
    _group("training.example.org", "member"),
    _group("climate.example.org:models:ocean", "vm_operator"),
    _group("climate.example.org"),
)

SAFE = re.compile(r"[a-z0-9]")
LONGEST_NAME = 63


def pod_name(user: str) -> str:
    """`jupyter-<escaped user>`: other bytes as `-xx`, cut to 63 characters with a hash."""
    escaped = "".join(
        char if SAFE.fullmatch(char) else "".join(f"-{byte:02x}" for byte in char.encode())
        for char in user
    )
    name = f"jupyter-{escaped}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:48].rstrip('-')}---{sha256(user.encode()).hexdigest()[:8]}"


def make_people(rng: Random, count: int, *, odd: bool) -> list[Owner]:
    """`count` owners, the odd names first where wanted, spread over the groups."""
    names = list(ODD_NAMES[:count]) if odd else []
    while len(names) < count:
        names.append(f"{rng.getrandbits(64):016x}@example.org")
    return [
        Owner(name, group.urn, group.vo, group.fqan)
        for index, name in enumerate(names)
        for group in (GROUPS[index % len(GROUPS)],)
    ]
