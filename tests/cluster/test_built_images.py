"""The images, really built: they run as their user, with a read-only root, and end in order."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from accounting.simulation.stores.engines import free_port
from tests.cluster.buildah import NEEDED, Image, Store
from tests.hub.process import wait_for

pytestmark = pytest.mark.timeout(1800)  # several builds in one step

SHOWN = {
    "accounting": ["notebooks-accounting", "--version"],
    "hub": ["jupyterhub", "--version"],
    "monitor": ["python", "-m", "hub.monitor", "--help"],
    "backup": ["python", "-m", "hub.backup", "--help"],
}
"""Each target, and a command that shows that its program is there.

single-user is not built. Its kinds stand on R, Julia, PyTorch and the libraries of Jupyter's own
images; those are made of conda's packages and lie in a registry of images. A test reaches neither.
Over JupyterLab of this project's lock, fedcloudclient refuses another PyYAML than its own.
"""

LARGEST = {"accounting": 400, "hub": 150, "monitor": 450, "backup": 310}
"""Megabytes of files that each target puts on its base: a twentieth more than was seen."""

MADE = ("etc", "opt", "src", "usr", "var/lib/notebooks-accounting")
"""Where targets put files."""

REVISION, SOURCE = "0123abcd", "https://example.org/notebooks"
_FROM = ("--build-arg", f"REVISION={REVISION}", "--build-arg", f"SOURCE={SOURCE}")

NOTED = ("etc/shadow", "usr/share/doc")
"""Where Debian's own tools write when it was."""


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """Not below pytest's folder, which its next runs delete: an interrupted one leaves mounts."""
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("buildah's chroot isolation needs root")
    made = Store(Path(tempfile.mkdtemp(prefix="buildah-")))
    try:
        made.make_bases()
    except AssertionError as exc:
        pytest.skip(f"no Debian can be made here, see that apt reaches its mirror: {exc}")
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def images(store: Store) -> dict[str, Image]:
    """Each target."""
    return {target: store.build(target, target, *_FROM) for target in SHOWN}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("target", SHOWN)
def test_an_image_s_program_runs_as_its_user_with_a_read_only_root(
    images: dict[str, Image], target: str
) -> None:
    image = images[target]
    shown = run(image.inside(*SHOWN[target]))
    assert shown.returncode == 0, shown.stderr
    assert run(image.inside("id", "-u")).stdout.strip() == image.user[0] != "0"
    for place in ("/opt/a", "/etc/a", "/var/lib/a"):
        assert run(image.inside("touch", place)).returncode != 0


@pytest.mark.parametrize("target", SHOWN)
def test_an_image_says_what_it_is_made_from(images: dict[str, Image], target: str) -> None:
    labels = images[target].config["Labels"]
    assert labels["org.opencontainers.image.version"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.revision"] == REVISION
    assert labels["org.opencontainers.image.source"] == SOURCE


@contextmanager
def serving(image: Image, data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = image.inside(
        *image.program,
        *("serve", "--port", str(port)),
        data=data,
        ACCOUNTING_SITE_NAME="EXAMPLE-NOTEBOOKS",
        ACCOUNTING_PROMETHEUS__URL=f"http://127.0.0.1:{free_port()}",
        ACCOUNTING_PROMETHEUS__NAMESPACE="hub",
        ACCOUNTING_SSM__TRANSPORT="dirq",
        ACCOUNTING_SSM__DIRQ_PATH="/var/lib/notebooks-accounting/spool",
    )
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_service_gets_healthy_and_a_signal_ends_it_in_order(
    images: dict[str, Image], tmp_path: Path
) -> None:
    port = free_port()
    tmp_path.chmod(0o777)
    with serving(images["accounting"], tmp_path, port) as process:

        def healthy() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60).is_success

        wait_for(healthy, "a healthy service")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (service,) = children.read_text().split()
        os.kill(int(service), signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()


def test_two_builds_give_the_same_files(store: Store, images: dict[str, Image]) -> None:
    for target in ("accounting", "backup"):
        again = store.build(target, f"{target}-again")
        first, second = (image.contents(*MADE) for image in (images[target], again))
        assert len(first) > 1000
        names = first.keys() | second.keys()
        differing = {name for name in names if first.get(name) != second.get(name)}
        assert {name for name in differing if not name.startswith(NOTED)} == set()


def test_without_parquet_the_image_has_no_pyarrow_and_works(
    store: Store, images: dict[str, Image]
) -> None:
    small = store.build("accounting", "small", "--build-arg", "PARQUET=no")
    assert run(small.inside("notebooks-accounting", "--version")).returncode == 0
    missing = run(small.inside("python", "-c", "import pyarrow"))
    assert "ModuleNotFoundError" in missing.stderr
    sizes = {name: image.megabytes() for name, image in (("small", small), *images.items())}
    assert sizes["small"] < sizes["accounting"] - 100, sizes
    sys.stdout.write(f"accounting without Parquet: {sizes['small'] - store.base().megabytes()}\n")


def test_the_images_are_no_larger_than_they_were(store: Store, images: dict[str, Image]) -> None:
    """What docs/install.md says of layers is what this prints."""
    below = store.base()
    sizes = {target: image.megabytes() - below.megabytes() for target, image in images.items()}
    layers = {
        target: {place: image.megabytes(place) - below.megabytes(place) for place in ("opt", "usr")}
        for target, image in images.items()
    }
    sys.stdout.write(json.dumps({"base": below.megabytes(), **sizes, "layers": layers}))
    assert all(sizes[target] <= LARGEST[target] for target in sizes), sizes
