"""The images: what the Dockerfile says, and that its steps make programs that run confined."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from accounting.simulation.stores.engines import free_port
from tests.chart import helm, manifests
from tests.images.build import ROOT, Builder, confined
from tests.images.dockerfile import read

DOCKERFILE = read(ROOT / "Dockerfile")
NOTEBOOKS = {name for name in DOCKERFILE.stages if name.endswith("-notebook")}
TARGETS = ("accounting", "hub", "monitor", "backup", "single-user")
SINGLE_USER = ROOT / "images" / "single-user"
_SECONDS = 300
"""For programs whose modules are compiled at each start; how long they take is not asked."""


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    folder = tmp_path_factory.mktemp("images")
    # Both only save the tests' time: 500 MB are neither compiled nor copied.
    return Builder(DOCKERFILE, folder, COMPILE_BYTECODE="0", LINK_MODE="symlink")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)


# What it says.


def test_the_linter_for_dockerfiles_finds_nothing() -> None:
    done = run([str(Path(sys.executable).with_name("hadolint")), str(ROOT / "Dockerfile")])
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_as_a_numbered_user_that_is_not_root(target: str) -> None:
    users = [i.text for i in DOCKERFILE.instructions(target) if i.name == "USER"]
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]), "runAsNonRoot needs a number"


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_labelled_and_its_base_is_pinned_by_an_argument(target: str) -> None:
    labels = " ".join(i.text for i in DOCKERFILE.instructions(target) if i.name == "LABEL")
    for key in ("title", "description", "vendor", "licenses", "version", "revision", "source"):
        assert labels.count(f"org.opencontainers.image.{key}=") == 1
    assert_pinned(DOCKERFILE.line(target)[0].base)


def assert_pinned(base: str) -> None:
    argument = re.fullmatch(r"\$\{(\w+)\}", base)
    assert argument
    assert re.search(r":[\w.-]*\d(@sha256:[0-9a-f]{64})?$", DOCKERFILE.arguments[argument[1]])


def test_each_kind_of_notebook_has_a_pinned_base_and_is_released() -> None:
    for name in NOTEBOOKS:
        assert_pinned(DOCKERFILE.stages[name].base)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    released = workflow["jobs"]["images"]["strategy"]["matrix"]["include"]
    assert {one["target"] for one in released} == set(TARGETS)
    kinds = [one.get("kind", "data-science") for one in released if one["target"] == "single-user"]
    assert {f"{kind}-notebook" for kind in kinds} == NOTEBOOKS
    assert len({one["image"] for one in released}) == len(released) == len(TARGETS) + 3


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_has_no_tool_that_builds_in_its_layers(target: str) -> None:
    """uv is only mounted, and what is made comes from other stages."""
    for instruction in DOCKERFILE.instructions(target):
        if instruction.name == "COPY":
            assert instruction.flags, "nothing is copied from the checkout"
            assert instruction.text == "/opt/notebooks /opt/notebooks"
        elif instruction.name == "RUN" and "uv " in instruction.text:
            assert any("from=uv" in flag for flag in instruction.flags)
        assert not re.search(r"build-essential|gcc|-dev\b", instruction.text)


def test_services_have_a_health_check_and_the_job_says_that_it_has_none() -> None:
    found = {
        name: DOCKERFILE.stages[name].only("HEALTHCHECK").text[:4]
        for name in ("accounting", "hub", "monitor", "backup")
    }
    assert found == {"accounting": "CMD ", "hub": "CMD ", "monitor": "CMD ", "backup": "NONE"}


def test_the_build_sees_only_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    seen = {line.removeprefix("!/") for line in lines if line.startswith("!/")}
    copied = {
        source.split("/")[0]
        for stage in DOCKERFILE.stages.values()
        for i in stage.instructions
        if i.name == "COPY" and not i.flags
        for source in i.text.split()[:-1]
    }
    assert copied | {"images"} == seen


def test_the_hubs_base_is_the_image_of_the_chart_that_the_deployment_uses() -> None:
    image = DOCKERFILE.arguments["HUB_IMAGE"]
    umbrella = (ROOT / "chart" / "egi-notebooks" / "Chart.yaml").read_text()
    (wanted,) = re.findall(r"name: jupyterhub\n\s+version: ~([\d.]+)", umbrella)
    assert image.partition("@")[0].endswith(f":{wanted}")


# What its steps make.


CHART = helm.CHARTS / "notebooks-accounting"


def configured(folder: Path, *settings: str) -> list[helm.Manifest]:
    """What the chart makes, its settings and secrets in a folder as its pods find them."""
    made = helm.render(CHART, CHART / "ci" / "minimal-values.yaml", settings=settings, release="e")
    (folder / "settings").mkdir(parents=True)
    (folder / "secrets").mkdir()
    text = helm.find(made, "ConfigMap")["data"]["settings.yaml"]
    (folder / "settings" / "settings.yaml").write_text(text)
    for key, value in helm.find(made, "Secret", "e-notebooks-accounting")["data"].items():
        file = folder / "secrets" / key
        file.write_text(value)
        file.chmod(0o440)  # as its volume does
    return made


def in_pod(builder: Builder, pod: dict[str, Any], *writable: tuple[Path, str]) -> list[str]:
    """What runs a pod's container here, with its environment; the arguments are to be added."""
    image = DOCKERFILE.stages["accounting"]
    inside = confined(builder.build("accounting"), *writable, path="/opt/notebooks/bin")
    (container,) = pod["containers"]
    for entry in container["env"]:
        inside += ["--setenv", entry["name"], entry["value"]]
    return [*inside, "--chdir", "/tmp", "--", *image.only("ENTRYPOINT").listed()]  # noqa: S108 - inside the image


@contextmanager
def serving(command: list[str], log: Path, port: int) -> Iterator[None]:
    """A service that answers, until the end."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, text=True)
    try:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(_SECONDS)


def test_the_image_serves_and_pushes_as_the_chart_runs_it(builder: Builder, tmp_path: Path) -> None:
    """The Deployment's and the CronJob's containers, with their own arguments, but for the address.

    Records go into a spool, so that no broker is needed; the job may use its own token only.
    """
    port = free_port()
    made = configured(tmp_path / "etc", "ssm.transport=dirq")
    pods = manifests.pods(made)
    service, job = (
        pods[name]
        for name in ("Deployment e-notebooks-accounting", "CronJob e-notebooks-accounting-push")
    )
    (tmp_path / "data").mkdir()
    etc = (tmp_path / "etc", "/etc/notebooks-accounting")
    run_service = in_pod(
        builder, service, etc, (tmp_path / "data", "/var/lib/notebooks-accounting")
    )
    arguments = [str(port) if a == "8000" else a for a in service["containers"][0]["args"]]
    arguments = ["127.0.0.1" if a == "0.0.0.0" else a for a in arguments]  # noqa: S104 - what the image says
    with serving([*run_service, *arguments], tmp_path / "log", port):
        (job_token := tmp_path / "job" / "secrets").mkdir(parents=True)
        shutil.copy(tmp_path / "etc" / "secrets" / "job-token", job_token)
        url = f"http://127.0.0.1:{port}"
        pushing = [url if a.startswith("http:") else a for a in job["containers"][0]["args"]]
        run_job = in_pod(builder, job, (tmp_path / "job", "/etc/notebooks-accounting"))
        pushed = run([*run_job, *pushing])
        assert pushed.returncode == 0, (
            pushed.stdout + pushed.stderr + (tmp_path / "log").read_text()
        )
        check = DOCKERFILE.stages["accounting"].only("HEALTHCHECK").text.removeprefix("CMD ")
        inside = confined(builder.root("accounting"), path="/opt/notebooks/bin")
        assert run([*inside, "--", *json.loads(check.replace("8000", str(port)))]).returncode == 0
        nobody_s = str(free_port())
        assert run([*inside, "--", *json.loads(check.replace("8000", nobody_s))]).returncode != 0
    assert (tmp_path / "data" / "accounting.db").exists()


def test_the_accounting_image_holds_what_is_locked_and_nothing_that_builds(
    builder: Builder,
) -> None:
    inside = confined(builder.build("accounting"), path="/opt/notebooks/bin")
    listing = "from importlib.metadata import distributions as d; print(*(i.name for i in d()))"
    found = set(run([*inside, "--", "python", "-c", listing]).stdout.lower().split())
    locked = re.findall(
        r"^([\w.-]+)==", (ROOT / "requirements/service.lock").read_text(), re.MULTILINE
    )
    assert "notebooks-accounting" in found
    assert not found & {"hatchling", "pip", "setuptools", "uv", "wheel"}
    assert {name.replace("_", "-") for name in found} - {"notebooks-accounting"} <= set(locked)


def test_without_parquet_the_image_has_no_pyarrow_and_still_serves(
    builder: Builder, tmp_path: Path
) -> None:
    root = builder.other(tmp_path, PARQUET="no").build("service")
    installed = {path.name for path in root.glob("opt/notebooks/lib/python*/site-packages/*")}
    assert not [name for name in installed if name.startswith("pyarrow")]
    inside = confined(root, path="/opt/notebooks/bin")
    shown = run([*inside, "--", "notebooks-accounting", "serve", "--help"])
    assert shown.returncode == 0, shown.stderr


def test_a_confined_process_may_write_nothing_and_is_not_root(builder: Builder) -> None:
    inside = confined(builder.build("accounting"), path="/opt/notebooks/bin")
    for place in ("/opt/a", "/etc/a", "/usr/a", "/a"):
        assert run([*inside, "--", "touch", place]).returncode != 0
    assert run([*inside, "--", "touch", "/tmp/a"]).returncode == 0  # noqa: S108 - of its own
    assert run([*inside, "--", "id", "-u"]).stdout.strip() == "10001"


def test_each_release_of_jupyterhub_that_can_be_asked_for_is_locked() -> None:
    asked = [i.text for i in DOCKERFILE.stages["hub"].instructions if i.name == "ARG"]
    assert "JUPYTERHUB=5" in asked
    for release in ("5", "6"):
        lock = (ROOT / "requirements" / f"hub{release}.lock").read_text()
        assert f"\njupyterhub=={release}." in lock
        assert "\noauthenticator==17." in lock


@pytest.mark.parametrize(("asked", "version"), [({}, "5.5."), ({"JUPYTERHUB": "6"}, "6.")])
def test_the_hub_image_keeps_jupyterhub_5_unless_asked_and_has_our_package(
    builder: Builder, tmp_path: Path, asked: dict[str, str], version: str
) -> None:
    made = builder.build("hub") if not asked else builder.other(tmp_path, **asked).build("hub")
    inside = confined(made, path="/opt/base/bin")
    shown = run([*inside, "--", "jupyterhub", "--version"])
    assert shown.stdout.startswith(version), shown.stderr
    loading = (
        "from importlib.metadata import entry_points as e;"
        "p = [p for g in ('jupyterhub.authenticators', 'jupyterhub.spawners') for p in e(group=g)];"
        "print(*(q.name for q in p if q.value.startswith('hub.') and q.load()))"
    )
    loaded = run([*inside, "--setenv", "JUPYTERHUB_CRYPT_KEY", "", "--", "python", "-c", loading])
    assert loaded.returncode == 0, loaded.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {
        name
        for group in ("jupyterhub.authenticators", "jupyterhub.spawners")
        for name in project["entry-points"][group]
    }
    assert {"egi-checkin", "egi-spawner"} <= declared
    assert set(loaded.stdout.split()) == declared


@pytest.mark.parametrize("target", ["monitor", "backup"])
def test_a_job_image_starts_its_program(builder: Builder, target: str) -> None:
    image = DOCKERFILE.stages[target]
    program = image.only("ENTRYPOINT").listed()
    inside = confined(builder.build(target), path="/opt/notebooks/bin")
    shown = run([*inside, "--", *program, "--help"])
    assert shown.returncode == 0, shown.stderr
    assert "usage" in shown.stdout.lower()


def test_the_backups_image_has_neither_jupyterhub_nor_what_accounting_needs(
    builder: Builder,
) -> None:
    installed = {
        file.name.partition("-")[0]
        for file in builder.build("backup").glob(
            "opt/notebooks/lib/python*/site-packages/*.dist-info"
        )
    }
    assert "notebooks_accounting" in installed
    assert installed & {"jupyterhub", "pyarrow", "sqlalchemy", "oauthenticator"} == set()
    inside = confined(builder.build("backup"), path="/opt/notebooks/bin")
    files = [file for file in (ROOT / "hub" / "backup").rglob("*.py") if file.stem[0] != "_"]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    loading = ";".join(f"import {name}" for name in names)
    loaded = run([*inside, "--", "python", "-c", loading])
    assert loaded.returncode == 0, loaded.stderr


def test_nothing_in_an_image_bears_the_time_of_its_build(builder: Builder, tmp_path: Path) -> None:
    """Bytecode with a hash of its source, no notes of the installer's, the same twice."""
    again = builder.other(tmp_path, COMPILE_BYTECODE="1")
    site = next(again.build("backup-programs").glob("opt/notebooks/lib/python*/site-packages"))
    assert list(site.rglob("uv_cache.json")) == []
    (record,) = site.glob("notebooks_accounting-*.dist-info/RECORD")
    assert "uv_cache.json" not in record.read_text()
    compiled = sorted((site / "hub" / "backup").rglob("*.pyc"))
    assert len(compiled) > 10
    assert {file.read_bytes()[4] & 1 for file in compiled} == {1}


def test_the_backups_programs_from_debian_are_those_that_the_tests_use() -> None:
    (step,) = (i.text for i in DOCKERFILE.stages["backup"].instructions if i.name == "RUN")
    installed = re.findall(r"recommends (.*?) &&", step)[0].split()
    assert installed == ["openssh-client", "rclone", "restic"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(name in makefile for name in ("rclone", "restic"))


def pinned(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_every_list_of_libraries_is_pinned_and_of_a_kind_of_notebook() -> None:
    lists = {path.stem: pinned(path) for path in SINGLE_USER.glob("*.txt")}
    assert {f"{name}-notebook" for name in lists} <= NOTEBOOKS
    for lines in (*lists.values(), *(pinned(path) for path in SINGLE_USER.glob("vo/*.txt"))):
        assert lines
        assert [line for line in lines if not re.fullmatch(r"[a-zA-Z0-9.-]+==[\w.]+", line)] == []


def test_the_single_user_libraries_fit_together(tmp_path: Path) -> None:
    """The base's Python is newer than many a machine's: they are installed for it, and not run."""
    files = [SINGLE_USER / f"{name}.txt" for name in ("base", "data-science")]
    lines = [line for file in files for line in pinned(file)]
    uv = Path(sys.executable).with_name("uv")
    machine = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_28")
    shown = ("--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:")
    compile_ = [str(uv), "pip", "compile", *shown, *machine, *map(str, files)]
    done = run([*compile_, "--offline"])  # what earlier runs fetched, without asking again
    if done.returncode:
        done = run(compile_)
    assert done.returncode == 0, done.stderr
    assert {line.lower() for line in lines} <= set(done.stdout.split())
    install = [str(uv), "pip", "install", "--quiet", "--only-binary", ":all:", *machine]
    given = [word for file in files for word in ("--requirement", str(file))]
    done = run([*install, "--target", str(tmp_path), *given])
    assert done.returncode == 0, done.stderr
    there = {
        f"{d.name.replace('_', '-')}=={d.version}".lower()
        for d in distributions(path=[str(tmp_path)])
    }
    assert {line.lower() for line in lines} <= there


@pytest.mark.parametrize("kind", sorted(name.removesuffix("-notebook") for name in NOTEBOOKS))
@pytest.mark.parametrize("vo", ["", "vo.example.org"])
def test_a_kind_of_notebook_has_its_own_list_beside_that_of_all(
    tmp_path: Path, kind: str, vo: str
) -> None:
    for name in ("pip", "fix-permissions"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*"\n')
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment |= {"CONDA_DIR": str(tmp_path / "conda"), "NB_USER": "jovyan"}
    done = subprocess.run(
        [str(SINGLE_USER / "install"), kind, vo],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    own = [kind] if kind in {"data-science", "machine-learning"} else []
    lists = ["base", *own, *([f"vo/{vo}"] if vo else [])]
    found = re.findall(r"--requirement (\S+)", done.stdout)
    assert found == [str(SINGLE_USER / f"{name}.txt") for name in lists]


def test_the_step_for_notebooks_installs_lists_and_a_vo_s_own_and_the_extension(
    tmp_path: Path,
) -> None:
    """In an environment of its own, with short lists: real pip, JupyterLab looks for the result."""
    image, conda = tmp_path / "image", tmp_path / "conda"
    shutil.copytree(SINGLE_USER, image)
    (image / "base.txt").write_text("# short\nidna==3.10\n")
    (image / "data-science.txt").write_text("packaging==25.0\n")
    (image / "vo" / "vo.example.org.txt").write_text("wheel==0.45.1\n")
    assert run([sys.executable, "-m", "venv", str(conda)]).returncode == 0
    no_op = conda / "bin" / "fix-permissions"
    no_op.write_text("#!/bin/sh\n")
    no_op.chmod(0o755)
    environment = {**os.environ, "PATH": f"{conda}/bin:{os.environ['PATH']}"}
    environment |= {"CONDA_DIR": str(conda), "NB_USER": "jovyan"}
    step = [str(image / "install"), "data-science", "vo.example.org"]
    done = subprocess.run(
        step, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    there = {f"{d.name}=={d.version}" for d in distributions(path=glob_of(conda))}
    assert there >= {"idna==3.10", "wheel==0.45.1", "packaging==25.0"}
    found = subprocess.run(
        [str(Path(sys.executable).with_name("jupyter")), "labextension", "list"],
        env={**environment, "JUPYTER_PATH": str(conda / "share" / "jupyter")},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert re.search(r"egi-sharing v0\.1\.0 .*enabled.*OK", found.stdout + found.stderr)


def glob_of(conda: Path) -> list[str]:
    return [str(path) for path in conda.glob("lib/python*/site-packages")]
