"""Label and field selectors, as list and watch take them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.kubernetes.failure import Failure

Labels = Mapping[str, str]
_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")
_KEY = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?)$")
_SPLIT = re.compile(r",(?![^(]*\))")


def labels_match(selector: str) -> Callable[[Labels], bool]:
    """What ``a=b,c!=d,e in (f,g),h,!i`` says of labels."""
    terms = [_label_term(term.strip()) for term in _SPLIT.split(selector) if term.strip()]
    return lambda labels: all(term(labels) for term in terms)


def _label_term(term: str) -> Callable[[Labels], bool]:
    among = _SET.match(term)
    if among:
        key, word, text = among.groups()
        values = {value.strip() for value in text.split(",")}
        if word == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if "!=" in term:
        key, value = map(str.strip, term.split("!=", 1))
        return lambda labels: labels.get(key) != value
    if "=" in term:
        key, value = map(str.strip, re.split(r"==?", term, maxsplit=1))
        return lambda labels: labels.get(key) == value
    key = term.removeprefix("!").strip()
    if not _KEY.match(key):
        raise Failure(400, f"unable to parse requirement: found '{key}', expected: identifier")
    return lambda labels: (key in labels) is not term.startswith("!")


def fields_match(selector: str) -> Callable[[Mapping[str, Any]], bool]:
    """What ``metadata.name=x,status.phase!=y`` says of an object."""
    terms = [_field_term(term) for term in selector.split(",") if term]
    return lambda found: all(term(found) for term in terms)


def _field_term(term: str) -> Callable[[Mapping[str, Any]], bool]:
    match = re.match(r"^([\w.]+)(==|!=|=)(.*)$", term)
    if not match:
        raise Failure(400, f'invalid field selector: "{term}"')
    path, operator, value = match.groups()
    wanted = operator != "!="
    return lambda found: (_field(found, path) == value) is wanted


def _field(found: Any, path: str) -> str:
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "" if found is None else str(found)
