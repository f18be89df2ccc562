"""StAR, the storage accounting record (OGF GFD.201): its text and a message's body. Pure.

A record is a snapshot that is valid from StartTime to EndTime. The receiver replaces by recordId:
a day's record has an id of its own, and a correction of that day has the same.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote
from uuid import UUID, uuid5
from xml.sax.saxutils import escape, unescape

from accounting.model.pods import ERASED
from accounting.model.volumes import DAY_SECONDS, Volume
from accounting.records.identity import fit_user

NAMESPACE = "http://eu-emi.eu/namespaces/2011/02/storagerecord"
MOST_CHARACTERS = 255
"""Of each of the receiver's columns of text."""
_IDS = UUID("3a7f8f2e-5d0c-5c56-9c0e-6f3d0f5b7c11")
"""Never to be changed: all record ids follow from it."""
_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<sr:StorageUsageRecords xmlns:sr="{NAMESPACE}">\n'
_TAIL = "\n</sr:StorageUsageRecords>\n"
_SUBJECT = ("LocalUser", "UserIdentity", "Group")
_ELEMENT = re.compile(r"<sr:(\w+)>([^<]*)</sr:\1>")
_ID = re.compile(r'sr:recordId="([^"]*)"')
_REFERENCE = re.compile(r"&#(\d+);")
_AS_IT_IS = re.compile("[ !-%'-;=?-~]*").fullmatch
"""Text that XML and ASCII take as it is, as nearly all is."""
_NOT_IN_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def record_id(site: str, system: str, namespace: str, name: str, day: int) -> str:
    """The id of a volume's record of a day; the same whenever it is computed."""
    return str(uuid5(_IDS, "\n".join((site, system, namespace, name, str(day)))))


def text(volume: Volume) -> str:
    """A record as a message carries it: one line of ASCII."""
    start, end = (_instant((volume.day + days) * DAY_SECONDS) for days in (0, 1))
    elements = dict(_elements(volume))
    subject = "".join(_element(name, elements.pop(name, "")) for name in _SUBJECT)
    return (
        f'<sr:StorageUsageRecord><sr:RecordIdentity sr:createTime="{end}"'
        f' sr:recordId="{volume.uid}"/>'
        + "".join(_element(*element) for element in elements.items())
        + (f"<sr:SubjectIdentity>{subject}</sr:SubjectIdentity>" if subject else "")
        + f"<sr:StartTime>{start}</sr:StartTime><sr:EndTime>{end}</sr:EndTime>"
        + _element("ResourceCapacityUsed", str(volume.used_bytes))
        + _element("ResourceCapacityAllocated", _number(volume.allocated_bytes))
        + "</sr:StorageUsageRecord>"
    )


def problem(volume: Volume) -> str:
    """Why the receiver would refuse the record; empty if it would not."""
    for name, value in _elements(volume):
        if len(value) > MOST_CHARACTERS:
            return f"{name} has more than {MOST_CHARACTERS} characters"
    return "" if volume.system else "StorageSystem is missing"


def digest(said: str) -> str:
    """SHA-256 of a record's text."""
    return hashlib.sha256(said.encode()).hexdigest()


def body(texts: Sequence[str]) -> str:
    """A message's body from its records' texts."""
    return _HEAD + "\n".join(texts) + _TAIL


def texts(said: str) -> list[str]:
    """The records' texts of a body."""
    inner = said.removeprefix(_HEAD).removesuffix(_TAIL)
    return inner.split("\n") if inner else []


def parsed(said: str) -> Mapping[str, str]:
    """Names and values of one of our own records' texts, for people."""
    values = {name: _plain(value) for name, value in _ELEMENT.findall(said)}
    found = _ID.search(said)
    return ({"recordId": found[1]} if found else {}) | values


def _elements(volume: Volume) -> Iterator[tuple[str, str]]:
    yield "StorageSystem", volume.system
    yield "Site", volume.site
    yield "StorageShare", volume.share
    yield "StorageMedia", "disk"
    # A claim's name has the user's in it: it goes out only where that does (I3).
    yield "LocalUser", volume.name if volume.user == volume.owner != ERASED else ""
    yield "UserIdentity", fit_user(volume.user)
    yield "Group", volume.vo


def _element(name: str, value: str) -> str:
    if not value:
        return ""
    if _AS_IT_IS(value):
        return f"<sr:{name}>{value}</sr:{name}>"
    fit = _NOT_IN_XML.sub(lambda found: quote(found[0], safe="", errors="replace"), value)
    plain = escape(fit).encode("ascii", "xmlcharrefreplace").decode()
    return f"<sr:{name}>{plain}</sr:{name}>"


def _plain(value: str) -> str:
    return unescape(_REFERENCE.sub(lambda found: chr(int(found[1])), value))


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


@lru_cache(maxsize=64)
def _instant(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
