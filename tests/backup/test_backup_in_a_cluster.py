"""The program on the Kubernetes stand-in, whose pods really run: run, restore, drill."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from hub.backup import cli
from hub.backup.kubernetes.claim import OWNER
from hub.backup.kubernetes.worker import LABELS
from hub.backup.report.status import Status, metrics
from tests.backup.conftest import PASSWORD, rest_server, secrets_in
from tests.backup.trees import odd_tree, picture
from tests.hub.process import wait_for
from tests.kubernetes.standin import KubernetesStandin

Run = Callable[..., Result]
STATUS = "notebooks-backup-status"
USERS = {"claim-1": "zoe@example.org", "claim-2": "Ünï Code", "claim-3": ""}
IMAGE = "registry.example.org/notebooks-backup:1"


def claim(name: str, owner: str, mode: str = "ReadWriteOnce") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "labels": {"component": "singleuser-storage"},
            "annotations": {OWNER: owner} if owner else {},
        },
        "spec": {
            "accessModes": [mode],
            "storageClassName": "standard",
            "resources": {"requests": {"storage": "2Gi"}},
        },
    }


def secret() -> dict[str, Any]:
    data = {"password": base64.b64encode(PASSWORD.encode()).decode()}
    metadata = {"name": "notebooks-backup"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesStandin]:
    """Three users' claims, one of the hub, a Secret in two namespaces, an empty status."""
    with KubernetesStandin(tmp_path / "k", namespaces=("hub", "other"), run_pods=True) as standin:
        for namespace in ("hub", "other"):
            standin.create(secret(), namespace)
        for name, owner in USERS.items():
            standin.create(claim(name, owner))
            odd_tree(standin.claim_folder(name), 420 if name == "claim-1" else 401)
        standin.create(claim("hub-db-dir", ""))
        standin.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": STATUS}})
        yield standin


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    cluster: KubernetesStandin,
    empty_repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:
    """Runs the program against a repository behind REST; a test that fails shows what it said."""
    secrets = secrets_in(tmp_path / "secrets")
    served = tmp_path / "repository"
    shutil.copytree(empty_repository, served)
    with rest_server(served) as address:
        environment = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "NOTEBOOKS_BACKUP_NAMESPACE": "hub",
            "NOTEBOOKS_BACKUP_REPOSITORY": address,
            "NOTEBOOKS_BACKUP_IMAGE": IMAGE,
            "NOTEBOOKS_BACKUP_SECRET_NAME": "notebooks-backup",
            "NOTEBOOKS_BACKUP_STATUS_CONFIGMAP": STATUS,
            "NOTEBOOKS_BACKUP_METRICS_FILE": str(tmp_path / "metrics.prom"),
            "NOTEBOOKS_BACKUP_PARALLEL": "2",
            "NOTEBOOKS_BACKUP_SECRETS_DIR": str(secrets),  # in the pods too
        }

        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def program(*arguments: str) -> Result:
            done = CliRunner().invoke(cli.app, arguments)
            said = f"exit code {done.exit_code}\n{done.output}"
            request.node.add_report_section("call", " ".join(arguments), said)
            for name in USERS.values():
                assert not name or name not in done.stdout + done.stderr
            return done

        yield program


def told(done: Result) -> dict[str, tuple[str, str]]:
    """Claim → state, and what was said."""
    rows = json.loads(done.stdout)
    return {row["claim"]: (row["state"], row["said"].split(" of ")[0]) for row in rows}


def gauges(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    samples = (sample for family in families for sample in family.samples)
    return {
        sample.name.removeprefix("notebooks_backup_")
        + "".join(sample.labels.values()): sample.value
        for sample in samples
    }


def test_users_volumes_are_kept_and_come_back_elsewhere(
    cluster: KubernetesStandin, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_PROGRESS_SECONDS", 0.2)
    kept = run("run", "--json")
    assert kept.exit_code == 0
    said = kept.stderr.splitlines()
    assert any("0 of 3 claims done; at work: claim-" in line for line in said), said
    assert all(re.fullmatch(r"[\d:]{8}Z \d of 3 claims done; at work: .*", line) for line in said)
    assert told(kept) == dict.fromkeys(USERS, ("done", "kept"))
    shown = gauges((tmp_path / "metrics.prom").read_bytes())
    status = Status.read(cluster.get("configmaps", STATUS)["data"]["status.json"])
    assert str(shown) == str(gauges(metrics(status)))
    assert (shown["claimsdone"], shown["snapshots"], shown["last_run_exit_code"]) == (3, 4, 0)
    assert shown["last_success_timestamp_seconds"] >= shown["oldest_claim_timestamp_seconds"] > 0
    assert shown["repository_bytes"] > 3_000_000

    before = {name: picture(cluster.claim_folder(name)) for name in USERS}
    words = (
        "restore",
        "--user",
        USERS["claim-1"],
        "--to-namespace",
        "other",
        "--storage-class",
        "fast",
        "--json",
    )
    planned = run(*words, "--dry-run")
    assert told(planned) == {"claim-1": ("skipped", "would make the claim (2Gi), data")}
    assert cluster.find("persistentvolumeclaims", "claim-1", "other") is None
    restored = run(*words)
    assert restored.exit_code == 0, restored.stderr
    assert told(restored)["claim-1"][0] == "done"
    assert picture(cluster.claim_folder("claim-1", "other")) == before["claim-1"]
    made = cluster.get("persistentvolumeclaims", "claim-1", "other")
    assert made["spec"]["storageClassName"] == "fast"
    assert made["metadata"]["annotations"][OWNER] == USERS["claim-1"]
    assert made["metadata"]["labels"] == {"component": "singleuser-storage"}
    assert {name: picture(cluster.claim_folder(name)) for name in USERS} == before

    drilled = run("drill", "--json")
    assert (drilled.exit_code, len(told(drilled))) == (0, 3), drilled.stdout
    assert gauges((tmp_path / "metrics.prom").read_bytes())["last_drill_success"] == 1
    assert run("check").exit_code == 0
    assert gauges((tmp_path / "metrics.prom").read_bytes())["last_check_success"] == 1
    assert cluster.all("pods") == []


def test_a_restore_of_all_leaves_alone_what_exists(cluster: KubernetesStandin, run: Run) -> None:
    assert run("run").exit_code == 0
    (cluster.claim_folder("claim-2") / "big").write_text("newer")
    lost = picture(cluster.claim_folder("claim-3"))
    cluster.remove("persistentvolumeclaims", "claim-3")
    cluster.claim_folder("claim-3").rename(cluster.folder / "gone")
    done = run("restore", "--all", "--json")
    there = ("skipped", "left alone: the claim exists (--overwrite replaces its files)")
    assert told(done).keys() == USERS.keys()
    assert (told(done)["claim-1"], told(done)["claim-2"]) == (there, there)
    assert told(done)["claim-3"][0] == "done"
    assert done.exit_code == 0
    assert picture(cluster.claim_folder("claim-3")) == lost
    assert (cluster.claim_folder("claim-2") / "big").read_text() == "newer"
    path = run("restore", "--claim", "claim-2", "--path", "big", "--json")
    assert told(path)["claim-2"][0] == "done"
    assert (cluster.claim_folder("claim-2") / "big").read_text() == "newer"
    over = run("restore", "--claim", "claim-2", "--path", "big", "--overwrite", "--json")
    assert told(over)["claim-2"] == ("done", "0 files restored")
    assert (cluster.claim_folder("claim-2") / "big").stat().st_size == 3_000_000
    cluster.remove("persistentvolumeclaims", "claim-1")
    bare = run("restore", "--claim", "claim-1", "--skip-data", "--json")
    assert told(bare) == {"claim-1": ("done", "claim made, no data restored (--skip-data)")}


def test_what_cannot_be_kept_is_said_and_leaves_the_others_alone(
    cluster: KubernetesStandin, run: Run
) -> None:
    cluster.create(claim("claim-4", "", "ReadWriteOncePod"))
    server = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "jupyter-4"},
        "spec": {
            "containers": [{"name": "notebook", "image": IMAGE, "command": ["sleep", "600"]}],
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-4"}}],
        },
    }
    cluster.create(server)
    left = {**server, "metadata": {"name": "notebooks-backup-old", "labels": LABELS}}
    left["spec"] = {
        "restartPolicy": "Never",
        "containers": [{"name": "worker", "image": IMAGE, "command": ["true"]}],
    }
    cluster.create(left)
    cluster.fail(500, "create", "pods")
    done = run("run", "--json")
    assert done.exit_code == 3
    refused = [text for state, text in told(done).values() if state == "failed"]
    assert len(refused) == 1
    assert refused[0].startswith("the Kubernetes API refused: 500")
    done = run("run", "--json")
    assert done.exit_code == 3
    states = {name: state for name, (state, _) in told(done).items()}
    assert states == {**dict.fromkeys(USERS, "done"), "claim-4": "incomplete"}
    assert [pod["metadata"]["name"] for pod in cluster.all("pods")] == ["jupyter-4"]
    status = Status.read(cluster.get("configmaps", STATUS)["data"]["status.json"])
    assert (status.run_code, status.success_at, status.oldest_at) == (3, 0, 0)
    wrong = run("restore", "--claim", "claim-9")
    assert (wrong.exit_code, wrong.stderr) == (
        1,
        "error: no backup knows such a claim → see 'notebooks-backup list'\n",
    )
    assert run("restore").exit_code == 2


def test_a_run_that_is_killed_loses_nothing_and_the_next_one_goes_on(
    cluster: KubernetesStandin, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEBOOKS_BACKUP_KEEP", '{"last": 9}')
    assert run("run").exit_code == 0
    first = json.loads(run("list", "--json").stdout)
    then = datetime.now(UTC)
    (cluster.claim_folder("claim-1") / "big").write_text("newer")
    program = Path(sys.executable).parent / "notebooks-backup"
    with subprocess.Popen([program, "run"], env=dict(os.environ), stdout=subprocess.DEVNULL) as job:
        wait_for(lambda: cluster.all("pods") != [], "a worker")
        job.kill()
    wait_for(
        lambda: all(pod["status"]["phase"] == "Succeeded" for pod in cluster.all("pods")),
        "the workers' own end",
    )
    assert run("run").exit_code == 0
    assert cluster.all("pods") == []
    after = json.loads(run("list", "--json").stdout)
    assert all(row in after for row in first)
    assert {row["claim"] for row in after if row not in first} == set(USERS)
    assert run("check", "--all").exit_code == 0
    words = ("restore", "--claim", "claim-1", "--path", "big", "--overwrite", "--json")
    assert run(*words).exit_code == 0
    assert (cluster.claim_folder("claim-1") / "big").read_text() == "newer"
    assert run(*words, "--at", then.isoformat()).exit_code == 0
    assert (cluster.claim_folder("claim-1") / "big").stat().st_size == 3_000_000


def test_a_restore_that_is_killed_goes_on_and_no_backup_takes_half_the_files_for_all(
    cluster: KubernetesStandin, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("run").exit_code == 0
    before = {name: picture(cluster.claim_folder(name)) for name in USERS}
    for name in ("claim-1", "claim-2"):
        cluster.remove("persistentvolumeclaims", name)
        cluster.claim_folder(name).rename(cluster.folder / f"gone-{name}")
    monkeypatch.setenv("NOTEBOOKS_BACKUP_PARALLEL", "1")
    words = ("restore", "--all", "--json")
    program = Path(sys.executable).parent / "notebooks-backup"
    with subprocess.Popen([program, *words], env=dict(os.environ)) as job:
        wait_for(lambda: cluster.all("pods") != [], "a worker")
        job.kill()
    for pod in cluster.all("pods"):
        cluster.remove("pods", pod["metadata"]["name"])
    half = run("run", "--json")  # would forget the day's whole snapshot for half of the files
    states = {name: state for name, (state, _) in told(half).items()}
    assert states == {"claim-1": "incomplete", "claim-2": "incomplete", "claim-3": "done"}

    planned = told(run(*words, "--dry-run"))
    assert planned["claim-1"] == ("skipped", "would go on with the interrupted restore")
    done = run(*words)
    assert (done.exit_code, told(done)["claim-1"][0], told(done)["claim-2"][0]) == (
        0,
        "done",
        "done",
    )
    assert {name: picture(cluster.claim_folder(name)) for name in USERS} == before
    assert {state for state, _ in told(run(*words)).values()} == {"skipped"}
    for name in ("claim-1", "claim-2"):
        made = cluster.get("persistentvolumeclaims", name)
        assert made["metadata"].get("annotations", {}).keys() == {OWNER}


def test_a_restore_that_failed_is_not_taken_for_done(cluster: KubernetesStandin, run: Run) -> None:
    assert run("run").exit_code == 0
    before = picture(cluster.claim_folder("claim-2"))
    cluster.remove("persistentvolumeclaims", "claim-2")
    cluster.claim_folder("claim-2").rename(cluster.folder / "gone")
    words = ("restore", "--claim", "claim-2", "--json")
    cluster.fail(500, "create", "pods")
    assert told(run(*words))["claim-2"][0] == "failed"
    assert told(run(*words))["claim-2"][0] == "done"
    assert picture(cluster.claim_folder("claim-2")) == before
