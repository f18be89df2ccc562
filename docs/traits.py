# noqa: INP001 - a script's part
"""The settings of hub/ from the traits of its classes, for docs/checkin.md."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from traitlets import TraitType
from traitlets.config import Configurable

from hub.authenticator import (
    D4ScienceAuthenticator,
    EGICheckinAuthenticator,
    EOSCNodeAuthenticator,
)
from hub.spawner import EGISpawner
from hub.spawner.d4science import D4ScienceSpawner

PAGE = Path(__file__).parent / "checkin.md"
MARK = "<!-- From here on written by docs/generate.py: edit the traits in hub/. -->\n"

CLASSES: tuple[type[Configurable], ...] = (
    EGICheckinAuthenticator,
    EOSCNodeAuthenticator,
    D4ScienceAuthenticator,
    EGISpawner,
    D4ScienceSpawner,
)


def page() -> str:
    """What docs/checkin.md holds: its own text up to the mark, then every setting."""
    text, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    lines = [text + (mark or MARK)]
    shown: set[int] = set()
    for kind in CLASSES:
        lines += _section(kind, shown)
    return "\n".join(lines) + "\n"


def settings(kind: type[Configurable]) -> dict[str, TraitType[Any, Any]]:
    """The configurable traits that hub/ defines for a class, its bases' included."""
    return {
        name: trait
        for name, trait in sorted(kind.class_traits(config=True).items())
        if trait.this_class and trait.this_class.__module__.startswith("hub.")
    }


def _section(kind: type[Configurable], shown: set[int]) -> Iterator[str]:
    yield f"\n## {kind.__name__}\n"
    yield inspect.cleandoc(kind.__doc__ or "")
    bases = [base for base in CLASSES if base in kind.__mro__[1:]]
    if bases:
        yield f"\nBeside these, all of `{bases[0].__name__}`'s settings."
    for name, trait in settings(kind).items():
        if id(trait) in shown:
            continue
        shown.add(id(trait))
        yield f"\n### `c.{kind.__name__}.{name}`\n"
        yield inspect.cleandoc(str(trait.help))
        yield f"\n- {trait.info()}"
        default = _default(kind, name, trait)
        yield f"- default: `{default}`" if default else "- default: none"


def _default(kind: type[Configurable], name: str, trait: TraitType[Any, Any]) -> str:
    """The default as one writes it; a computed one as it is without any configuration."""
    if f"_{name}_default" in dir(kind):
        with mock.patch.dict("os.environ", clear=True):
            value = getattr(kind(), name)
    else:
        value = trait.default()
    return repr(value) if value or isinstance(value, bool | int | float) else ""
