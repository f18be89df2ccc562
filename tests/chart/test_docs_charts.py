"""What the pages on installing and operating say is what the charts do: the pages are run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ssm.testing.authority import Authority
from tests.chart import helm, manifests, pages
from tests.chart.helm import CHARTS, ROOT
from tests.chart.umbrella import assembled, values_of
from tests.images.dockerfile import read
from tests.kubernetes.standin import KubernetesStandin

INSTALL = pages.read("install.md")
OPERATIONS = pages.read("operations.md")
_SECONDS = 120


@dataclass(frozen=True)
class Desk:
    """An operator's folder and cluster."""

    folder: Path
    cluster: KubernetesStandin

    def type(self, command: str) -> str:
        """Run a command of a page: what it prints.

        What needs a container engine or a pod that really runs is only looked at: the target must
        be in the Dockerfile, the object in the cluster, the command in the program.
        """
        words = shlex.split(command)
        if words[-2:-1] in (["<"], [">"]):
            words = words[:-2]
        if words[0] == "docker":
            return _docker(words)
        if words[0] == "cosign":
            return _signature(*words[1:])
        if words[:2] == ["helm", "pull"]:
            return _pull(*words[2:])
        if words[:3] == ["helm", "repo", "add"]:
            return _repository(*words[3:])
        if "gateway.yaml" in words:  # the cluster's stand-in has no Gateway API
            command = command.replace("helm upgrade", "helm template")
        if words[0] == "kubectl" and {"exec", "logs"} & set(words):
            return self._inside(words)
        if (
            " create job " in command
        ):  # kubectl sends it as protobuf, which the stand-in cannot read
            command += " --dry-run=client --output yaml | kubectl create --filename -"
        return self.shell(command)

    def shell(self, command: str) -> str:
        environment = {
            "PATH": f"{helm.program().parent}:{helm.kubectl().parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.cluster.kubeconfig),
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _inside(self, words: list[str]) -> str:
        verb = next(verb for verb in ("exec", "logs") if verb in words)
        rest = [w for w in words[words.index(verb) + 1 :] if w not in {"--follow", "--stdin"}]
        self.shell(f"kubectl --namespace {words[2]} get {_object(rest[0])}")
        inner = rest[2:] if "--" in rest else []
        if inner[:1] == ["notebooks-accounting"]:
            options = [word for word in inner if word.startswith("--")]
            shown = _program(*_subcommands(inner[1:]), "--help")
            assert all(option in shown for option in options), (inner, shown)
        return ""


def _object(name: str) -> str:
    return name if "/" in name else f"pod/{name}"


def _subcommands(words: list[str]) -> list[str]:
    return [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]


def _program(*arguments: str) -> str:
    program = Path(sys.executable).with_name("notebooks-accounting")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def _docker(words: list[str]) -> str:
    if words[1] == "build":
        target = words[words.index("--target") + 1]
        assert target in read(ROOT / "Dockerfile").stages
    return ""


def _pull(place: str, *options: str) -> str:
    """A published chart is one of this project's, in its version; it lands below ``chart``."""
    about = yaml.safe_load((CHARTS / place.rpartition("/")[2] / "Chart.yaml").read_text())
    assert options == ("--version", about["version"], "--untar", "--untardir", "chart")
    return ""


def _signature(*words: str) -> str:
    """What is verified is what the release signs, by its workflow and the tag of its version."""
    *_, identity, artefact = words
    name, _, version = artefact.rpartition("/")[2].partition(":")
    file = ".github/workflows/release.yml"
    text = (ROOT / file).read_text()
    assert identity.endswith(f"/{file}@refs/tags/v{version}")
    assert f"image: {name}}}" in text or (CHARTS / name).is_dir()
    assert "cosign sign" in text
    return ""


def _repository(name: str, url: str) -> str:
    """The repositories that a page adds are those of the parts."""
    about = yaml.safe_load((CHARTS / "egi-notebooks" / "Chart.yaml").read_text())
    assert url in {part["repository"] for part in about["dependencies"]}, name
    return ""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("operator")
    (folder / "chart").mkdir()
    umbrella = assembled(tmp_path_factory.mktemp("umbrella"))
    (folder / "chart" / "egi-notebooks").symlink_to(umbrella)
    (folder / "chart" / "notebooks-accounting").symlink_to(CHARTS / "notebooks-accounting")
    issued = Authority.create(folder / "pki").issue("notebooks.example.org")
    (folder / "hostcert.pem").write_bytes(Path(issued.cert).read_bytes())
    (folder / "hostkey.pem").write_bytes(Path(issued.key).read_bytes())
    for page in (INSTALL, OPERATIONS):
        pages.write(page, folder)
    with KubernetesStandin(folder / "cluster", namespaces=()) as cluster:
        yield Desk(folder, cluster)


def test_the_pages_hold_what_they_are_read_for() -> None:
    assert len(INSTALL.commands) > 15
    assert len(OPERATIONS.commands) > 20
    named = {word for page in (INSTALL, OPERATIONS) for c in page.commands for word in c.split()}
    files = {file.name for page in (INSTALL, OPERATIONS) for file in page.files}
    assert {name for name in files if name not in named} == set(), "files that nobody uses"


@pytest.mark.parametrize("name", ["install.md", "operations.md"])
def test_a_page_has_no_block_that_nobody_tries(name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    kinds = re.findall(r"^[ \t]*(?:```|~~~)(.*)$", text, re.MULTILINE)
    assert set(kinds) == {"yaml", "console", ""}
    tried = pages.read(name)
    lines = re.findall(r"^[ \t]*\$ .*$", text, re.MULTILINE)
    assert len(tried.commands) == len(lines)
    assert len(tried.files) == kinds.count("yaml")


@pytest.mark.parametrize(
    "file", [f for f in (*INSTALL.files, *OPERATIONS.files) if f.chart], ids=lambda file: file.name
)
def test_the_values_of_a_page_make_manifests_that_kubernetes_takes(
    desk: Desk, file: pages.File
) -> None:
    given = [desk.folder / name for name in (file.over, file.name) if name]
    made = helm.render(desk.folder / "chart" / file.chart, *given, namespace="jupyterhub")
    assert [fault for m in made for fault in manifests.faults(m, "1.37")] == []


def test_the_pages_can_be_followed_from_an_empty_cluster_on(desk: Desk) -> None:
    for command in INSTALL.commands:
        desk.type(command)
    deployment = desk.cluster.get("deployments", "notebooks-accounting", "jupyterhub")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    verified = {c.split()[-1] for c in INSTALL.commands if c.startswith("cosign")}
    assert f"docker.io/{image}" in verified
    settings = desk.cluster.get("configmaps", "notebooks-accounting", "jupyterhub")["data"]
    assert "ams_host" not in settings["settings.yaml"], "production is the default"
    token = desk.cluster.get("secrets", "notebooks-accounting", "jupyterhub")["data"]["job-token"]
    for command in OPERATIONS.commands:
        desk.type(command)
    assert token
    assert desk.cluster.find("persistentvolumeclaims", "notebooks-accounting", "jupyterhub")
    assert desk.cluster.find("secrets", "notebooks-accounting", "jupyterhub")
    assert desk.cluster.get("deployments", "accounting-notebooks-accounting", "second")


def test_images_of_one_s_own_are_those_that_are_built(desk: Desk) -> None:
    given = [desk.folder / name for name in ("notebooks.yaml", "images.yaml")]
    made = helm.render(desk.folder / "chart" / "egi-notebooks", *given, release="notebooks")
    deployment = helm.find(made, "Deployment", "notebooks-accounting")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    hub = values_of(made, "jupyterhub")
    used = {image}
    for part in (hub["hub"], hub["singleuser"]):
        used.add(f"{part['image']['name']}:{part['image']['tag']}")
    built = {c.split()[-2] for c in INSTALL.commands if c.startswith("docker build")}
    pushed = {c.split()[-1] for c in INSTALL.commands if c.startswith("docker push")}
    assert used == built == pushed


def test_every_part_of_the_umbrella_has_its_repository_on_the_page() -> None:
    about = yaml.safe_load((CHARTS / "egi-notebooks" / "Chart.yaml").read_text())
    needed = {p["repository"] for p in about["dependencies"] if p["repository"].startswith("http")}
    added = {c.split()[-1] for c in INSTALL.commands if c.startswith("helm repo add")}
    assert added == needed


def test_parts_can_be_built_again_and_again(desk: Desk) -> None:
    (command,) = {c for c in OPERATIONS.commands if c.startswith("helm dependency")}
    for _ in range(2):
        desk.type(command)


def test_the_lock_is_of_the_parts_as_they_are(tmp_path: Path) -> None:
    """Helm compares before it fetches anything; without an index, that is how far it comes."""
    shutil.copytree(CHARTS, tmp_path / "chart")
    chart = tmp_path / "chart" / "egi-notebooks"
    parts = yaml.safe_load((chart / "Chart.yaml").read_text())["dependencies"]
    urls = [part["repository"] for part in parts if part["repository"].startswith("http")]
    config = tmp_path / "repositories.yaml"
    named = [{"name": f"r{n}", "url": url} for n, url in enumerate(urls)]
    config.write_text(yaml.safe_dump({"repositories": named}))
    build: list[str | Path] = ["dependency", "build", chart, "--skip-refresh"]
    build += ["--repository-config", config, "--repository-cache", tmp_path / "cache"]
    assert "out of sync" not in helm.run(*build).stderr
    text = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(text.replace("~4.4.2", "~4.3.0"))
    assert "out of sync" in helm.run(*build).stderr


def test_the_copy_that_a_backup_makes_is_a_whole_one(tmp_path: Path) -> None:
    import sqlite3  # noqa: PLC0415 - only used here

    folder = "/var/lib/notebooks-accounting"
    (command,) = (c for c in OPERATIONS.commands if "VACUUM" in c)
    code = shlex.split(command)[-1].replace(folder, str(tmp_path))
    live = sqlite3.connect(tmp_path / "accounting.db")
    live.execute("PRAGMA journal_mode=WAL")
    live.execute("CREATE TABLE a (b)")
    live.execute("INSERT INTO a VALUES (1)")
    live.commit()
    subprocess.run([sys.executable, "-c", code], check=True)
    copy = sqlite3.connect(tmp_path / "backup.db")
    assert copy.execute("SELECT b FROM a").fetchall() == [(1,)]
    copy.close()
    live.close()


def test_the_pod_that_has_the_ledger_is_confined() -> None:
    (file,) = (file for file in OPERATIONS.files if file.name == "ledger-pod.yaml")
    pod = yaml.safe_load(file.text)
    assert manifests.faults(pod, "1.28") == []
    assert manifests.unconfined(pod["spec"]) == []


def test_the_sizing_table_holds_what_was_measured() -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    measured = (ROOT / "README.md").read_text().partition("## Measured")[2]
    small, row = re.findall(r"^\| [\d,]+ \|.*$", page, re.MULTILINE)
    for figure in ("1.5 s", "105 MB", "0.23 s"):
        assert figure in small
        assert figure in measured
    for figure in ("7.7 s", "239 MB", "2.7 s"):
        assert figure in row
        assert figure in measured
    values = yaml.safe_load((CHARTS / "notebooks-accounting" / "values.yaml").read_text())
    assert values["resources"]["requests"]["memory"].replace("Mi", " MiB") in row
    assert values["resources"]["limits"]["memory"].replace("Mi", " MiB") in row
