# noqa: INP001 - a script
"""Writes the pages of docs/ and of the charts that come from code; ``--check`` only compares."""

import os
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

import charts
import programs
import traits
import typer.main

from accounting import cli, config
from hub.backup import cli as backup
from hub.migration import cli as migration
from hub.monitor import cli as monitor
from hub.monitor import nagios

FOLDER = Path(__file__).parent
PROGRAMS = {
    "notebooks-accounting": cli.app,
    "notebooks-hub": migration.app,
    "notebooks-monitor": monitor.app,
    "notebooks-status": nagios.app,
    "notebooks-backup": backup.app,
}
_WIDTH = 100

_CONTAINERS: dict[Any, str] = {dict: "mapping", frozenset: "list"}
_KINDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
}


def _kind(setting: config.Setting) -> str:
    if setting.is_duration:
        return "duration"
    kind = setting.field.annotation
    arguments = [a for a in get_args(kind) if a is not type(None)]
    choices = [c for a in (kind, *arguments) for c in get_args(a) if isinstance(c, str)]
    if choices:
        return " or ".join(dict.fromkeys(choices))
    if get_origin(kind) in _CONTAINERS:
        return _CONTAINERS[get_origin(kind)]
    plain = arguments[0] if arguments else kind
    return _KINDS[getattr(plain, "__origin__", plain)]  # without what Annotated adds


def _default(setting: config.Setting) -> str:
    default = setting.field.default
    if _kind(setting) == "duration":
        return programs.duration(default)
    if isinstance(default, dict):
        return config.shown(default) if default else ""
    return config.shown(default)


def settings_reference() -> str:
    """The settings' reference, Markdown: what docs/settings.md holds."""
    lines = [
        "# Settings",
        "",
        "Written by `docs/generate.py` from `accounting/config/`; edit there.",
        "",
        f"Set them in the environment (`{config.PREFIX}…`), or in one YAML file that `--config` or",
        f"`{config.CONFIG}` names; the environment wins. In the file, a name with a dot is nested:",
        "`prometheus.url` is `url` below `prometheus`. Durations are numbers with units",
        "(`30s`, `5m`, `6h`, `2d`) or seconds. An empty variable counts as not set. Secrets are",
        "files, whose paths are set.",
    ]
    group = None
    for setting in config.settings():
        head = setting.path.rpartition(".")[0]
        if head != group:
            group = head
            model = config.Settings.model_fields[head].annotation if head else None
            title = (model.__doc__ or "").splitlines()[0] if model else "The site and its database."
            lines += ["", f"## {head or 'General'}", "", title]
        default = _default(setting)
        lines += [
            "",
            f"### `{setting.env}`",
            "",
            setting.field.description or "",
            "",
            f"- in the file: `{setting.path}` ({_kind(setting)})",
            f"- default: {f'`{default}`' if default else 'none'}",
            f"- example: `{setting.env}={setting.example}`",
        ]
    return "\n".join(lines) + "\n"


def commands_reference() -> str:
    """The commands' reference, Markdown: every ``--help`` as the terminal shows it."""
    lines = [
        "# Commands",
        "",
        "Written by `docs/generate.py` from the programs' own help; edit there.",
    ]
    for program, app in PROGRAMS.items():
        for path, text in _helps(typer.main.get_command(app), program, None):
            lines += ["", f"## {path}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def _helps(command: Any, name: str, parent: Any) -> list[tuple[str, str]]:
    options = {"terminal_width": _WIDTH, **command.context_settings}
    context = command.context_class(command, info_name=name, parent=parent, **options)
    found = [(context.command_path, command.get_help(context).strip())]
    for inner, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            found += _helps(child, inner, context)
    return found


def main() -> int:
    """Write all files, or with ``--check`` tell which are not as they should be."""
    wrong = 0
    pages = {
        FOLDER / "settings.md": settings_reference(),
        FOLDER / "commands.md": commands_reference(),
        traits.PAGE: traits.page(),
        **programs.pages(),
        **charts.pages({setting.path: _default(setting) for setting in config.settings()}),
    }
    for path, text in pages.items():
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path} is out of date: run 'make docs'\n")
            wrong = 1
    return wrong


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    sys.exit(main())
