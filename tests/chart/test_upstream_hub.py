"""What Zero to JupyterHub's image of the hub, over which ours is built, brings with it."""

import re
from pathlib import Path

import pytest

from tests.chart import upstream
from tests.chart.helm import ROOT

pytestmark = pytest.mark.skipif(
    not upstream.is_real(), reason="needs the real charts: UPSTREAM_CHARTS"
)


def pins(requirements: Path) -> dict[str, str]:
    """Versions by package."""
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", requirements.read_text(), re.MULTILINE))


def test_the_hub_s_base_has_what_the_chart_s_configuration_starts() -> None:
    """The idle culler among it, which no lock of this project names."""
    configuration = (upstream.hub_files() / "jupyterhub_config.py").read_text()
    started = set(re.findall(r'"-m", "(\w+)"', configuration))
    assert started == {"jupyterhub_idle_culler"}
    there = pins(upstream.hub_requirements())
    assert {name.replace("_", "-") for name in started} | {"pycurl"} <= there.keys()


@pytest.mark.parametrize("package", ["jupyterhub", "jupyterhub-kubespawner"])
def test_the_lock_stays_within_the_release_that_the_base_has(package: str) -> None:
    ours = pins(ROOT / "requirements" / "hub5.lock")[package]
    theirs = pins(upstream.hub_requirements())[package]
    assert ours.split(".")[:2] == theirs.split(".")[:2]
