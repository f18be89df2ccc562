"""Reads configuration in Python, without running it: what is plain becomes settings."""

import ast
from dataclasses import dataclass, field
from typing import Any

from hub.migration.names import OLD_MODULES

Settings = dict[str, dict[str, Any]]
"""Values by class and trait, as `hub.config` of Zero to JupyterHub has them."""


@dataclass(slots=True)
class Code:
    """A piece of `jupyterhub_config.py`.

    Attributes:
        settings: what `c.Class.trait = …` sets to a plain value, or to a class that was imported
            (then its import path).
        rest: the statements that remain, as text; empty if none do.
        old_modules: modules of earlier packages that the rest still imports.
    """

    settings: Settings = field(default_factory=dict)
    rest: str = ""
    old_modules: list[str] = field(default_factory=list)


def read(text: str) -> Code:
    """Take a configuration apart.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(text)
    found = Code()
    imported: dict[str, str] = {}
    kept: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            imported |= {
                alias.asname or alias.name: f"{statement.module}.{alias.name}"
                for alias in statement.names
            }
        before = "\n".join(_source(text, other) for other in kept)
        if not _take(statement, imported, found.settings, before):
            kept.append(statement)
    kept = [statement for statement in kept if not _is_idle(statement, kept)]
    found.rest = "\n".join(_source(text, statement) for statement in kept)
    found.old_modules = sorted({name for part in kept for name in _old_imports(part)})
    return found


def _take(statement: ast.stmt, imported: dict[str, str], settings: Settings, before: str) -> bool:
    """Add a statement `c.Class.trait = value` to the settings, if its value can be written down.

    What remains runs after the settings; so a trait that it sets already must stay there, too.
    """
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    if not (isinstance(target, ast.Attribute) and isinstance(target.value, ast.Attribute)):
        return False
    if not (isinstance(target.value.value, ast.Name) and target.value.value.id == "c"):
        return False
    value: Any
    if isinstance(statement.value, ast.Name) and statement.value.id in imported:
        value = imported[statement.value.id]
    else:
        try:
            value = ast.literal_eval(statement.value)
        except (ValueError, TypeError):
            return False
    if not _is_data(value) or f"{target.value.attr}.{target.attr}" in before:
        return False
    settings.setdefault(target.value.attr, {})[target.attr] = _as_yaml(value)
    return True


def _is_data(value: object) -> bool:
    """Whether YAML has such values."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_data(inner) for key, inner in value.items())
    if isinstance(value, list | tuple | set):
        return all(_is_data(inner) for inner in value)
    return value is None or isinstance(value, str | int | float)


def _as_yaml(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_yaml(inner) for key, inner in value.items()}
    if isinstance(value, set):
        return sorted((_as_yaml(inner) for inner in value), key=str)
    if isinstance(value, list | tuple):
        return [_as_yaml(inner) for inner in value]
    return value


def _is_idle(statement: ast.stmt, kept: list[ast.stmt]) -> bool:
    """Whether it only imports what none of the others uses."""
    if not isinstance(statement, ast.ImportFrom):
        return False
    names = {alias.asname or alias.name for alias in statement.names}
    used = {
        node.id
        for other in kept
        if other is not statement
        for node in ast.walk(other)
        if isinstance(node, ast.Name)
    }
    return not names & used


def _old_imports(statement: ast.stmt) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {name for name in modules if name.partition(".")[0] in OLD_MODULES}


def _source(text: str, statement: ast.stmt) -> str:
    """The statement as it was written, decorators included."""
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    return "\n".join(text.splitlines()[first - 1 : statement.end_lineno])
