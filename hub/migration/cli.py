"""The program ``notebooks-hub``."""

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
import yaml

from hub.migration.homes import survey
from hub.migration.report import Kind, Migration
from hub.migration.users import users_of
from hub.migration.values import migrated
from hub.program.command import program
from hub.program.failure import WrongSetting
from hub.program.settings import read_mapping
from hub.spawner.home import STORAGE
from hub.spawner.manifests import Manifest

_UNDECIDED = 3
_SECRET = re.compile(r"(?:secret|token|pass|password|passwd|keys?)$", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]*@")

app = program("Moves an existing EGI Notebooks here; see docs/migrate.md.")


@app.command()
def check(
    values: Annotated[Path, typer.Argument(help="The instance's values file (helm get values).")],
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", help="A jupyterhub_config.py that it has beside; repeat it."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the new values there, secrets included (mode 0600)."
        ),
    ] = None,
) -> None:
    """Write the new values, and list what must be decided; nothing is run or changed.

    The output names secrets, but contains none. Exit code 3: something is to be decided.
    """
    texts = {str(path): _text(path) for path in config or []}
    try:
        migration = migrated(read_mapping(values), texts)
    except SyntaxError as exc:
        raise WrongSetting(
            f"{exc.filename}, line {exc.lineno}: is not Python", "correct it, or leave it out"
        ) from None
    if output is None:
        typer.echo(_document(migration, _masked(migration.values)), nl=False)
    else:
        _write(output, _document(migration, migration.values))
        typer.echo("".join(f"{line}\n" for line in _findings(migration)), nl=False)
    raise typer.Exit(_UNDECIDED if migration.of(Kind.DECIDE) else 0)


@app.command()
def homes(
    claims: Annotated[
        typer.FileText, typer.Argument(help="The claims as `kubectl get pvc -o json` lists them.")
    ],
    hub_db: Annotated[
        str | None,
        typer.Option(
            envvar="HUB_DB", help="The hub's database, as sqlite:///jupyterhub.sqlite; it is read."
        ),
    ] = None,
    release: Annotated[
        list[str] | None,
        typer.Option(help="A Helm release whose claims are this hub's; repeat it. Default: any."),
    ] = None,
) -> None:
    """Say which claim is each user's home, and whose homes need a look; nothing is changed.

    Without --hub-db it is not known which claim a server of the user has mounted last. Exit
    code 3: something is to be decided.
    """
    users = users_of(hub_db) if hub_db else {}
    found = asyncio.run(survey(_listed(claims), users, tuple(release or ())))
    several = f"{len(found.homes):,} users have a home."
    typer.echo(several if len(found.homes) != 1 else "1 user has a home.")
    for finding in found.findings:
        typer.echo(f"- {finding.where} {finding.what}")
    raise typer.Exit(_UNDECIDED if found.findings else 0)


def _listed(file: TextIO) -> list[Manifest]:
    """The claims of users in a listing; others' are left out."""
    try:
        items = json.load(file)["items"]
        labels = [
            claim["metadata"].get("labels") or {} for claim in items if claim["metadata"]["name"]
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise WrongSetting(
            f"{file.name} is no listing of claims", "write it with `kubectl get pvc --output json`"
        ) from None
    key, _, value = STORAGE.partition("=")
    return [claim for claim, found in zip(items, labels, strict=True) if found.get(key) == value]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise WrongSetting(f"{path} cannot be read", "correct --config") from exc


def _write(path: Path, text: str) -> None:
    """Make a file that only its owner can read."""
    try:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except OSError as exc:
        raise WrongSetting(f"{path} cannot be written: {exc.strerror}", "correct --output") from exc


def _document(migration: Migration, values: Mapping[str, Any]) -> str:
    """Values for the chart, with the findings as comments."""
    lines = [f"# {line}".rstrip() for line in _findings(migration)]
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join(lines) + "\n" + text


def _findings(migration: Migration) -> Iterator[str]:
    yield "Values for the chart egi-notebooks."
    for kind in Kind:
        found = migration.of(kind)
        if found:
            yield ""
            yield f"{kind.value.capitalize()}:"
            yield from (f"- {finding.where}: {finding.what}" for finding in found)


def _masked(values: Any, path: str = "") -> Any:
    """The same without secrets, and without code, which may hold any."""
    if isinstance(values, dict):
        return {key: _masked(inner, f"{path}.{key}".strip(".")) for key, inner in values.items()}
    if isinstance(values, list):
        return [_masked(inner, path) for inner in values]
    if not isinstance(values, str):
        return values
    is_secret = _SECRET.search(path.rpartition(".")[2]) or _PASSWORD.search(values)
    return "<as it was: --output writes it>" if is_secret or ".extraConfig." in path else values


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _as_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _as_text)


def main() -> None:
    """Run the program."""
    app(prog_name="notebooks-hub")
