"""Shared by the umbrella's tests: the chart, and what it makes in production."""

from pathlib import Path
from typing import Any

import pytest

from tests.chart import helm
from tests.chart.helm import render
from tests.chart.umbrella import PRODUCTION, assembled, values_of


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The umbrella with all its parts; not to be written to."""
    return assembled(tmp_path_factory.mktemp("umbrella"))


@pytest.fixture(scope="module")
def production(chart: Path) -> list[helm.Manifest]:
    """What it makes of the values for production."""
    return render(chart, PRODUCTION)


@pytest.fixture
def hub(production: list[helm.Manifest]) -> dict[str, Any]:
    """The values of Zero to JupyterHub in production."""
    return values_of(production, "jupyterhub")
