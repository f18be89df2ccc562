"""The umbrella with all its parts, as ``helm dependency build`` puts them together."""

import functools
import json
import operator
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import yaml
from traitlets.config import Config

from tests.chart import helm, upstream
from tests.chart.helm import CHARTS

CHART = CHARTS / "egi-notebooks"
PRODUCTION = CHART / "ci" / "production-values.yaml"
BACKUP = (
    "notebooks-backup.enabled=true",
    "notebooks-backup.repository=rest:https://backup.example.org/",
    "notebooks-backup.password=made-up",
)
"""Settings that switch the backup on."""
MONITORING = (
    "notebooks-monitoring.enabled=true",
    "notebooks-monitoring.hubUrl=https://n.example.org",
)
"""Settings that switch the monitoring on."""
_PART_OF = "app.kubernetes.io/part-of"


def assembled(folder: Path) -> Path:
    """The umbrella's folder with its parts in it."""
    parts = yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"]
    chart = folder / CHART.name
    shutil.copytree(CHART, chart)
    (chart / "Chart.lock").unlink(missing_ok=True)  # it is of the published charts
    text = (CHART / "Chart.yaml").read_text()
    for part in parts:
        name = part["name"]
        own = CHARTS / name
        if part["repository"].startswith("https:"):
            own = upstream.chart(name, folder / "upstream" / name)
        text = re.sub(rf"(name: {name}\n.*\n\s+repository: ).*", rf"\1file://{own}", text)
    (chart / "Chart.yaml").write_text(text)
    done = helm.run("dependency", "update", chart)
    assert done.returncode == 0, done.stderr
    return chart


def values_of(made: list[helm.Manifest], name: str) -> dict[str, Any]:
    """The values that a chart of another project got."""
    found: dict[str, Any] = json.loads(
        helm.find(made, "ConfigMap", f"values-of-{name}")["data"]["values"]
    )
    return found


def configured(values: dict[str, Any]) -> Config:
    """The hub's configuration by its values' `extraConfig`, run as Zero to JupyterHub runs it."""
    config = Config()
    config.JupyterHub.template_vars = values["hub"]["templateVars"]
    services = values["hub"]["services"].items()
    config.JupyterHub.services = [{"name": name, **about} for name, about in services]
    z2jh = ModuleType("z2jh")
    vars(z2jh)["get_config"] = lambda path: functools.reduce(
        operator.getitem, path.split("."), values
    )
    with mock.patch.dict(sys.modules, z2jh=z2jh):
        for _, text in sorted(values["hub"]["extraConfig"].items()):
            exec(text, {"c": config})  # noqa: S102 - as Zero to JupyterHub does
    return config


def own(made: list[helm.Manifest]) -> list[helm.Manifest]:
    """What the charts of this project make."""
    return [m for m in made if m["metadata"].get("labels", {}).get(_PART_OF) == "egi-notebooks"]
