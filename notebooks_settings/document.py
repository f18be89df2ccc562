"""A settings file: the YAML mapping in it, and the names that may stand there."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

# Kubernetes gives every pod such variables for the services around it: one that is called
# like a program of ours must not stop that program.
SERVICE_LINK = re.compile(
    r"(?!.*__)(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


class Refused(Exception):
    """A file that is no settings file; each program makes its own error of it.

    Args:
        message: what is wrong and where, one line, without the file's values.
        cure: what the operator does next, one line.
    """

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message, cure)
        self.message = message
        self.cure = cure


def read_mapping(path: Path) -> dict[Any, Any]:
    """The values that a YAML file holds by name; empty for an empty file.

    Raises:
        Refused: it cannot be read, is not YAML, or holds no mapping.
    """
    content = _parsed(_text(path), path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise Refused(
            f"the settings file {path} is not a mapping of names to values",
            "write its settings as 'name: value'",
        )
    return content


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise Refused(
            f"the settings file {path} cannot be read: {exc.strerror}",
            "correct the path, or the file's permissions",
        ) from exc
    except UnicodeDecodeError as exc:
        raise Refused(
            f"the settings file {path} is not UTF-8 at byte {exc.start}", "save it as UTF-8"
        ) from exc


def _parsed(text: str, path: Path) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Refused(
            f"the settings file {path} is not YAML{where}: {exc.problem}",
            "correct that line; indentation and ': ' matter",
        ) from None
    except yaml.YAMLError as exc:
        raise Refused(
            f"the settings file {path} is not YAML: {str(exc).splitlines()[0]}",
            "remove that character",
        ) from None


def nearest(name: str, known: Iterable[str], where: str) -> str:
    """The cure for an unknown name: the known one that is most like it, else ``where`` all are."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else f"see {where} for all names"
