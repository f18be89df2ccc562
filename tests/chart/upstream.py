"""The charts of other projects that the umbrella installs: the real ones, or their defaults.

The real ones are used where ``UPSTREAM_CHARTS`` names a folder with checkouts of
``zero-to-jupyterhub-k8s`` and ``helm-charts``. Otherwise small charts stand in their places. A
stand-in has the real default values, nulls included, the real schema and the names by which the
umbrella asks for its objects; what the real templates do is seen with the real charts only.

``UPSTREAM_CHARTS=… python -m tests.chart.upstream`` writes the kept defaults and schemas anew.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data"
CHECKOUTS = os.environ.get("UPSTREAM_CHARTS")

# The charts, and the versions that the umbrella's ranges must take.
VERSIONS = {"jupyterhub": "4.4.2", "prometheus": "29.27.0"}
_WITHIN = {"prometheus": "kube-state-metrics"}
_PARTS = (
    "kube-state-metrics",
    "alertmanager",
    "prometheus-node-exporter",
    "prometheus-pushgateway",
)

# Rendered beside the chart's own manifests, so that a test sees which values it got.
_VALUES = """apiVersion: v1
kind: ConfigMap
metadata:
  name: values-of-{{ .Chart.Name }}
data:
  values: {{ .Values | toJson | quote }}
"""

_SERVER = (
    "{{ if .Values.server.fullnameOverride }}{{ .Values.server.fullnameOverride }}{{ else }}"
    "{{ .Release.Name }}{{ if not (contains `prometheus` .Release.Name) }}-prometheus{{ end }}"
    "-server{{ end }}"
)

# What the umbrella includes from them; each name is the real template's.
_NAMES = {
    "jupyterhub": {
        "jupyterhub.hub.fullname": "{{ with .Values.fullnameOverride }}{{ . }}-{{ end }}hub",
        "jupyterhub.hub-serviceaccount.fullname": (
            "{{ default `hub` .Values.hub.serviceAccount.name }}"
        ),
    },
    "prometheus": {
        "prometheus.server.fullname": _SERVER,
        "prometheus.clusterRoleName": _SERVER,
    },
}


def chart(name: str, folder: Path) -> Path:
    """A chart of another project in a folder of its own: the real one, or what stands in."""
    if CHECKOUTS:
        _real(name, folder, Path(CHECKOUTS))
    else:
        _stand_in(name, folder)
    (folder / "templates" / "values-of.yaml").write_text(_VALUES)
    return folder


def is_real() -> bool:
    """Whether the real charts are there."""
    return bool(CHECKOUTS)


def hub_files() -> Path:
    """Where the real chart has the hub's configuration."""
    return _source("jupyterhub", Path(CHECKOUTS or ".")) / "files" / "hub"


def hub_requirements() -> Path:
    """What the real image of the hub has installed."""
    checkout = _source("jupyterhub", Path(CHECKOUTS or ".")).parent
    return checkout / "images" / "hub" / "requirements.txt"


def schema(name: str) -> dict[str, Any]:
    """The kept schema of a chart's values."""
    found: dict[str, Any] = json.loads((DATA / f"{name}-values.schema.json").read_text())
    return found


def defaults(name: str) -> dict[str, Any]:
    """The kept default values of a chart."""
    found: dict[str, Any] = json.loads((DATA / f"{name}-values.json").read_text())
    return found


def _real(name: str, folder: Path, checkouts: Path) -> None:
    source = _source(name, checkouts)
    shutil.copytree(source, folder)
    about = yaml.safe_load((source / "Chart.yaml").read_text())
    about["version"] = VERSIONS[name]  # Zero to JupyterHub's is set when it is released
    if name == "prometheus":
        for part in _PARTS:
            shutil.copytree(_source(part, checkouts), folder / "charts" / part)
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    if name == "jupyterhub":
        (folder / "values.schema.json").write_text(json.dumps(_read_schema(name, checkouts)))


def _stand_in(name: str, folder: Path) -> None:
    (folder / "templates").mkdir(parents=True)
    about: dict[str, Any] = {
        "apiVersion": "v2",
        "name": name,
        "version": VERSIONS.get(name, "0.1.0"),
    }
    (folder / "values.yaml").write_text(json.dumps(defaults(name)))
    if name in VERSIONS:
        (folder / "values.schema.json").write_text(json.dumps(schema(name)))
    if name in _WITHIN:
        part = _WITHIN[name]
        about["dependencies"] = [{"name": part, "version": "*", "condition": f"{part}.enabled"}]
        _stand_in(part, folder / "charts" / part)
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    named = "".join(
        f'{{{{- define "{template}" -}}}}{says}{{{{- end -}}}}\n'
        for template, says in _NAMES.get(name, {}).items()
    )
    (folder / "templates" / "_names.tpl").write_text(named)


def _source(name: str, checkouts: Path) -> Path:
    if name == "jupyterhub":
        return checkouts / "zero-to-jupyterhub-k8s" / name
    return checkouts / "helm-charts" / "charts" / name


def _read_schema(name: str, checkouts: Path) -> Any:
    if name == "jupyterhub":
        text = (_source(name, checkouts) / "values.schema.yaml").read_text()
        return _without_descriptions(yaml.safe_load(text))
    return json.loads((_source(name, checkouts) / "values.schema.json").read_text())


def _without_descriptions(node: Any) -> Any:
    """What the release tool of Zero to JupyterHub leaves of its schema."""
    if not isinstance(node, dict):
        return node
    kept = {k: v for k, v in node.items() if k != "description"}
    if "properties" in kept:
        kept["properties"] = {k: _without_descriptions(v) for k, v in kept["properties"].items()}
    return kept


def keep(checkouts: Path) -> None:
    """Write the defaults and schemas that are kept."""
    for name in (*VERSIONS, *_WITHIN.values()):
        values = yaml.safe_load((_source(name, checkouts) / "values.yaml").read_text())
        _write(DATA / f"{name}-values.json", values)
    for name in VERSIONS:
        _write(DATA / f"{name}-values.schema.json", _read_schema(name, checkouts))


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if not CHECKOUTS:
        raise SystemExit("set UPSTREAM_CHARTS to the folder that has the checkouts")
    keep(Path(CHECKOUTS))
