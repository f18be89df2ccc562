# noqa: INP001 - a part of docs/generate.py
"""What is written into the charts: the values' tables of their READMEs, their keys, their copies.

A chart's ``values.schema.json`` describes each key once. Helm reads only what lies inside a chart,
so files that charts share, or that belong to the service, are copied into them.
"""

import hashlib
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import yaml

from accounting.config.reference import settings as known_settings
from accounting.config.setting import Setting

ROOT = Path(__file__).parent.parent
CHARTS = ROOT / "chart"
_TABLE = re.compile(r"(<!-- values: .* -->\n).*?(<!-- end of values -->)", re.DOTALL)

_WIDEST = 80

# Their values are mostly those of other charts, which their own schemas describe.
COMMENTED_BY_HAND = {"egi-notebooks"}

# The versions of other projects' charts in Chart.lock.
TESTED = {"jupyterhub": "4.4.2", "prometheus": "29.27.0"}

# Which files of the repository are copied into which charts, and where.
COPIES = [
    ("*", "chart/shared/_notebooks.tpl", "templates/_notebooks.tpl"),
    ("*", "chart/shared/extraobjects.yaml", "templates/extraobjects.yaml"),
    ("notebooks-accounting", "monitoring/alerts.yaml", "files/alerts.yaml"),
    ("notebooks-accounting", "monitoring/dashboard.json", "files/dashboard.json"),
]


def pages(program: Mapping[str, str]) -> dict[Path, str]:
    """All files that are written into the charts, and what they must hold.

    Args:
        program: what the service takes for a setting that is not given, by its name in the file.
    """
    found: dict[Path, str] = {}
    for file in sorted(CHARTS.glob("*/values.schema.json")):
        chart = file.parent
        schema = json.loads(file.read_text(encoding="utf-8"))
        found[chart / "README.md"] = _readme(chart, schema, program)
        text = (chart / "values.yaml").read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        if chart.name not in COMMENTED_BY_HAND:
            found[chart / "values.yaml"] = _values(text, values, schema)
        found[chart / "files" / "keys.yaml"] = _keys(schema, values)
        if "settings" in schema["properties"]:
            found[chart / "files" / "settings.yaml"] = _settings()
        if (chart / "Chart.lock").exists():
            found[chart / "Chart.lock"] = lock(chart)
        for charts, source, target in COPIES:
            if charts in ("*", chart.name):
                found[chart / target] = (ROOT / source).read_text(encoding="utf-8")
    return found


def lock(chart: Path) -> str:
    """``Chart.lock`` of a chart with parts, as Helm writes it: versions and a digest.

    The versions of other projects' charts are those that the tests install. Helm's digest is of
    Go's JSON (``resolver.HashReq``), in which some characters are escaped.
    """
    parts = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))["dependencies"]
    order = ("name", "version", "repository", "condition", "import-values")
    asked = [{key: part[key] for key in order if key in part} for part in parts]
    locked = [
        {
            **{key: part[key] for key in order[:3]},
            "version": TESTED.get(part["name"], part["version"]),
        }
        for part in parts
    ]
    text = json.dumps([asked, locked], separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    content = {
        "dependencies": [
            {k: part[k] for k in ("name", "repository", "version")} for part in locked
        ],
        "digest": f"sha256:{digest}",
        "generated": "2026-11-28T00:00:00Z",
    }
    return yaml.safe_dump(content)


def described(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of a schema with its dots, and what the schema says of it."""
    for name, about in schema["properties"].items():
        yield f"{prefix}{name}", about
        if "properties" in about:
            yield from described(about, f"{prefix}{name}.")


def _values(text: str, values: dict[str, Any], schema: dict[str, Any]) -> str:
    """``values.yaml`` as it is, with the schema's sentence above each key: `helm show values`."""
    head = "".join(f"{line}\n" for line in text.splitlines() if line.startswith("#!"))
    return head + "\n".join(_commented(values, schema, "")) + "\n"


def _commented(values: dict[str, Any], schema: dict[str, Any], indent: str) -> Iterator[str]:
    for name, value in values.items():
        about = schema["properties"][name]
        if not indent:
            yield ""
        said = textwrap.wrap(about["description"], 98 - len(indent), break_on_hyphens=False)
        yield from (f"{indent}# {line}" for line in said)
        if "properties" in about:
            yield f"{indent}{name}:"
            yield from _commented(value, about, f"{indent}  ")
        elif isinstance(value, dict) and value:
            shown = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=200)
            yield from (f"{indent}{line}" for line in shown.splitlines())
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    shown = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=1000)
    return shown.removesuffix("\n").removesuffix("\n...").replace("''", '""')


def _keys(schema: dict[str, Any], values: dict[str, Any]) -> str:
    """The keys; with the default, where a key has a plain one: it cannot be null."""
    lines = ["# Written by `make docs` from values.schema.json: what templates check keys against."]
    for path, about in described(schema):
        default = _at(path, values)
        if "properties" in about:
            lines.append(f"{path}: section")
        elif isinstance(default, dict | list) or default in (None, ""):
            lines.append(f"{path}: value")
        else:
            lines.append(f"{path}: {{needed: {json.dumps(default)}}}")
    return "\n".join(lines) + "\n"


def _settings() -> str:
    lines = ["# Written by `make docs`: the settings of the program, as `settings` takes them."]
    for setting in sorted(known_settings(), key=lambda setting: setting.path):
        about: dict[str, str | bool] = {"is": _kind(setting), "example": setting.example}
        if setting.is_secret:
            about["secret"] = True
        lines.append(f"{setting.path}: {json.dumps(about, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _kind(setting: Setting) -> str:
    """What a setting's value is, in the words that the chart's checks know."""
    if setting.is_duration:
        return "duration"
    given = setting.field.annotation
    kinds = [kind for kind in (get_args(given) or [given]) if kind is not NoneType]
    kind = given if get_origin(given) in (dict, frozenset, tuple) else kinds[0]
    found = get_origin(kind) or kind
    words = {bool: "boolean", int: "number", float: "number", dict: "map"}
    words |= {frozenset: "list", tuple: "list"}
    return words.get(found, "text") if isinstance(found, type) else "text"


def _at(path: str, values: Any) -> Any:
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _readme(chart: Path, schema: dict[str, Any], program: Mapping[str, str]) -> str:
    values = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    page = (chart / "README.md").read_text(encoding="utf-8")
    table = "\n".join(["", *_rows(schema, values, program), "", ""])
    return _TABLE.sub(lambda found: found[1] + table + found[2], page)


def _rows(
    schema: dict[str, Any], values: dict[str, Any], program: Mapping[str, str]
) -> Iterator[str]:
    yield "| key | default | |"
    yield "|---|---|---|"
    for path, about in described(schema):
        shown = "" if "properties" in about else _default(path, values, program)
        text = about["description"].replace("|", "\\|")
        name = f"**`{path}`**" if "properties" in about else f"`{path}`"
        yield f"| {name} | {shown} | {text} |"


def _default(path: str, values: dict[str, Any], program: Mapping[str, str]) -> str:
    value = _at(path, values)
    if value is None:
        value = program.get(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path).lower())
    if value is None or value in ("", {}, []):
        return ""
    shown = value if isinstance(value, str) else json.dumps(value)
    return f"`{shown}`" if len(shown) <= _WIDEST else "[values.yaml](values.yaml)"
