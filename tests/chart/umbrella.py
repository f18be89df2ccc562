"""The umbrella with all its parts, as ``helm dependency update`` puts them together.

Upstream charts cannot be fetched in a test. In their places stand small charts of the same names,
in versions that the ranges take. Each renders the values that it got; jupyterhub's come with the
schema of Zero to JupyterHub, so that Helm itself checks them.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.chart import helm
from tests.chart.helm import CHARTS

CHART = CHARTS / "egi-notebooks"
_SCHEMA = Path(__file__).parent / "data" / "z2jh-values.schema.json"
_UPSTREAM = {"jupyterhub": "4.4.0", "prometheus": "27.0.0"}

_VALUES = """apiVersion: v1
kind: ConfigMap
metadata:
  name: values-of-{{ .Chart.Name }}
data:
  values: {{ .Values | toJson | quote }}
"""


def assembled(folder: Path) -> Path:
    """The umbrella's folder with its parts in it."""
    parts = yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"]
    chart = folder / CHART.name
    shutil.copytree(CHART, chart)
    text = (CHART / "Chart.yaml").read_text()
    for part in parts:
        name, repository = part["name"], part["repository"]
        own = CHARTS / name
        if repository.startswith("https:") or not (own / "Chart.yaml").exists():
            own = _stand_in(folder / "upstream" / name, name, _UPSTREAM.get(name, "0.1.0"))
        text = re.sub(rf"(name: {name}\n.*\n\s+repository: ).*", rf"\1file://{own}", text)
    (chart / "Chart.yaml").write_text(text)
    done = helm.run("dependency", "update", chart)
    assert done.returncode == 0, done.stderr
    return chart


def _stand_in(folder: Path, name: str, version: str) -> Path:
    (folder / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": name, "version": version}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    (folder / "templates" / "values.yaml").write_text(_VALUES)
    if name == "jupyterhub":
        (folder / "values.schema.json").write_text(json.dumps(schema()))
    return folder


def schema() -> dict[str, Any]:
    """Zero to JupyterHub's schema, without what its own default values see to.

    It asks for keys that the chart's defaults always bring; those defaults are not here.
    """
    found: dict[str, Any] = _without_required(json.loads(_SCHEMA.read_text()))
    return found


def _without_required(node: Any) -> Any:
    if isinstance(node, dict):
        # A property may be called "required" itself: its value is a schema, not a list.
        kept = {k: v for k, v in node.items() if not (k == "required" and isinstance(v, list))}
        return {key: _without_required(value) for key, value in kept.items()}
    if isinstance(node, list):
        return [_without_required(entry) for entry in node]
    return node


def values_of(made: list[helm.Manifest], name: str) -> dict[str, Any]:
    """The values that an upstream chart got."""
    found: dict[str, Any] = json.loads(
        helm.find(made, "ConfigMap", f"values-of-{name}")["data"]["values"]
    )
    return found
