"""A volume's files through the real restic: nothing is lost, nothing replaced unasked."""

import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hub.backup.files.placement import STAGING
from hub.backup.files.volume import Volume
from hub.backup.report.outcome import FAILED, Outcome, State
from hub.backup.snapshots.repository import (
    Access,
    Repository,
    RepositoryDamaged,
    RepositoryLocked,
    RepositoryMissing,
    RepositoryUnavailable,
)
from hub.backup.snapshots.retention import Retention
from hub.program.failure import Failure, WrongSetting
from tests.backup.conftest import PASSWORD, SFTP_SERVER, rest_server, secrets_in
from tests.backup.trees import odd_tree, picture
from tests.hub.process import wait_for
from tests.private import secret


def volume(tmp_path: Path, repository: Repository, claim: str = "claim-a") -> Volume:
    root = tmp_path / "volumes" / claim
    root.mkdir(parents=True, exist_ok=True)
    return Volume("hub", claim, root, repository)


@pytest.mark.parametrize("backend", ["local", "rest", "sftp"])
def test_thousands_of_files_with_odd_names_come_back_as_they_were(
    tmp_path: Path, local: Repository, backend: str
) -> None:
    there, secrets = local.access.repository, local.access.secrets
    if backend == "local":
        there_and_back(tmp_path, local, files=2500)
    elif backend == "rest":
        with rest_server(Path(there)) as address:
            there_and_back(tmp_path, Repository(Access(address, secrets)), files=600)
    else:
        options = (f"sftp.command={SFTP_SERVER}",)
        sftp = Access(f"sftp:backup@host:{there}", secrets, options)
        there_and_back(tmp_path, Repository(sftp), files=600)


def there_and_back(tmp_path: Path, repository: Repository, *, files: int) -> None:
    home = volume(tmp_path, repository)
    odd_tree(home.root, files)
    before = picture(home.root)
    kept = home.back_up((), ())
    assert (kept.state, kept.files >= files) == (State.DONE, True)
    home.root.rename(tmp_path / "lost")
    home.root.mkdir()
    restored = home.restore(kept.snapshot, "", overwrite=False)
    assert restored.state is State.DONE
    assert restored.files == sum(not stat.S_ISDIR(entry[0]) for entry in before.values())
    assert picture(home.root) == before


def test_two_users_with_files_that_look_alike_each_keep_their_own(
    tmp_path: Path, local: Repository
) -> None:
    contents = {"claim-a": "alice", "claim-b": "bobby"}
    for claim, content in contents.items():
        home = volume(tmp_path, local, claim)
        path = home.root / "notes"
        path.write_text(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        home.back_up((), ())
    for claim, content in contents.items():
        home = volume(tmp_path, local, claim)
        (snapshot,) = local.snapshots("hub", f"claim={claim}")
        (home.root / "notes").unlink()
        home.restore(snapshot.id, "", overwrite=False)
        assert (home.root / "notes").read_text() == content


def test_one_path_comes_back_and_what_is_there_is_kept_unless_asked(
    tmp_path: Path, local: Repository
) -> None:
    home = volume(tmp_path, local)
    work = home.root / "work [2026]*"
    work.mkdir()
    (work / "kept").write_text("old")
    (work / "lost").write_text("old")
    (home.root / "work 2").write_text("elsewhere")
    kept = home.back_up((), ())
    (work / "kept").write_text("newer")
    (work / "lost").unlink()
    (work / "fresh").write_text("made since")
    (home.root / "work 2").unlink()
    done = home.restore(kept.snapshot, "/work [2026]*", overwrite=False)
    assert done.said.startswith("1 files restored of ")
    assert "1 that are there were kept" in done.said
    contents = {path.name: path.read_text() for path in work.iterdir()}
    assert contents == {"kept": "newer", "lost": "old", "fresh": "made since"}
    assert not (home.root / "work 2").exists()
    home.restore(kept.snapshot, "work [2026]*", overwrite=True)
    contents = {path.name: path.read_text() for path in work.iterdir()}
    assert contents == {"kept": "old", "lost": "old", "fresh": "made since"}
    missing = home.restore(kept.snapshot, "no/such", overwrite=True)
    assert (missing.state, missing.said) == (
        State.FAILED,
        "the snapshot has no such path: see 'restic ls'",
    )
    with pytest.raises(Failure, match="not one within the volume"):
        home.restore(kept.snapshot, "../claim-b", overwrite=True)


def test_a_restore_never_follows_links_nor_replaces_folders(
    tmp_path: Path, local: Repository
) -> None:
    home = volume(tmp_path, local)
    (home.root / "data").mkdir()
    (home.root / "data" / "file").write_text("mine")
    (home.root / "name").write_text("a file")
    kept = home.back_up((), ())
    outside = tmp_path / "outside"
    outside.mkdir()
    (home.root / "data" / "file").unlink()
    (home.root / "data").rmdir()
    (home.root / "data").symlink_to(outside)
    (home.root / "name").unlink()
    (home.root / "name").mkdir()
    (home.root / "name" / "inner").write_text("a folder now")
    done = home.restore(kept.snapshot, "", overwrite=True)
    assert (done.state, done.said.split(", ")[1]) == (
        State.INCOMPLETE,
        "2 left out: a folder",
    )
    assert list(outside.iterdir()) == []
    assert (home.root / "name" / "inner").read_text() == "a folder now"


def test_patterns_say_what_is_kept(tmp_path: Path, local: Repository) -> None:
    home = volume(tmp_path, local)
    for name in ("work/a.ipynb", "work/.cache/x", "top.ipynb", "other/b.txt", ".bashrc"):
        path = home.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    kept = home.back_up(("work", "*.ipynb", ".bash*"), (".cache",))
    home.root.rename(tmp_path / "lost")
    home.root.mkdir()
    home.restore(kept.snapshot, "", overwrite=False)
    files = sorted(str(p.relative_to(home.root)) for p in home.root.rglob("*") if p.is_file())
    assert files == [".bashrc", "top.ipynb", "work/a.ipynb"]
    empty = home.back_up(("nothing-*",), ())
    assert (empty.state, empty.said) == (State.DONE, "none of the wanted files is there")


def run_in_background(
    home: Volume, access: Access, command: str = "backup", *more: str
) -> subprocess.Popen[bytes]:
    """A worker in a process of its own."""
    environment = {
        **os.environ,
        "NOTEBOOKS_BACKUP_REPOSITORY": access.repository,
        "NOTEBOOKS_BACKUP_SECRETS_DIR": str(access.secrets),
        "NOTEBOOKS_BACKUP_VOLUMES_DIR": str(home.root.parent),
        "NOTEBOOKS_BACKUP_OPTIONS": ",".join(access.options),
    }
    words = ["volume", command, "--claim", home.claim, "--namespace", home.namespace, *more]
    program = Path(sys.executable).parent / "notebooks-backup"
    return subprocess.Popen([program, *words], env=environment, stdout=subprocess.PIPE)


def locks(repository: Repository) -> list[Path]:
    found = (Path(repository.access.repository) / "locks").iterdir()
    return [path for path in found if "-tmp-" not in path.name]  # those are still being written


def test_a_backup_that_was_killed_leaves_nothing_that_stops_the_next_one(
    tmp_path: Path, local: Repository
) -> None:
    home = volume(tmp_path, local)
    odd_tree(home.root, 450)
    first = home.back_up((), ())
    (home.root / "large").write_bytes(os.urandom(40_000_000))
    process = run_in_background(home, local.access)
    wait_for(lambda: locks(local) != [], "restic's lock", passes_soon=True)
    (restic,) = psutil.Process(process.pid).children()
    assert PASSWORD not in " ".join(restic.cmdline())
    restic.kill()
    out, _ = process.communicate()
    assert process.returncode == FAILED
    assert "restic failed" in Outcome.from_json(out.decode()).said
    assert len(locks(local)) == 1
    forgotten = local.forget("hub", Retention((("last", 5),)).arguments())
    assert (forgotten, locks(local)) == (0, [])
    second = home.back_up((), ())
    assert second.state is State.DONE
    assert [s.id[:8] for s in local.snapshots("hub")] == [first.snapshot, second.snapshot]
    local.check(1, 1)


def test_a_living_run_elsewhere_is_waited_for_and_its_lock_never_removed(
    local: Repository,
) -> None:
    environment = {
        **os.environ,
        "RESTIC_REPOSITORY": local.access.repository,
        "RESTIC_PASSWORD": PASSWORD,
    }
    elsewhere = [
        "bwrap",
        "--bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--unshare-uts",
        "--unshare-pid",
        "--proc",
        "/proc",
        "--die-with-parent",
        "--hostname",
        "another-node",
        "restic",
        "backup",
        "--stdin",
        "--stdin-filename",
        "x",
    ]
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    access = Access(local.access.repository, local.access.secrets, lock_wait_seconds=25)
    patient = Repository(access, clock=lambda: now[0], sleep=sleep)
    with subprocess.Popen(
        elsewhere, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as other:
        wait_for(lambda: locks(local) != [], "the other's lock", passes_soon=True)
        with pytest.raises(RepositoryLocked, match="another-node"):
            patient.forget("hub", ["--keep-last=1"])
        assert (slept, len(locks(local))) == ([10.0, 10.0, 10.0], 1)
        other.communicate(b"content")
        assert other.returncode == 0
    assert patient.forget("hub", ["--keep-last=1"]) == 0


def test_a_damaged_repository_is_told_and_nothing_of_it_gets_into_the_volume(
    tmp_path: Path, local: Repository
) -> None:
    home = volume(tmp_path, local)
    odd_tree(home.root, 500)
    kept = home.back_up((), ())
    (home.root / "mine").write_text("since then")
    largest = max((Path(local.access.repository) / "data").rglob("*"), key=size)
    largest.chmod(0o600)
    with largest.open("r+b") as pack:
        pack.seek(1000)
        pack.write(b"damaged" * 100)
    before = picture(home.root)
    with pytest.raises(RepositoryDamaged, match=r"damaged.*docs/backup\.md"):
        home.restore(kept.snapshot, "", overwrite=True)
    assert picture(home.root) == before
    assert not (home.root / STAGING).exists()
    with pytest.raises(RepositoryDamaged):
        local.check(1, 1)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(RepositoryDamaged):
        home.drill(kept.snapshot, tmp_path / "scratch")


def size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def test_an_interrupted_restore_is_taken_up_again(tmp_path: Path, local: Repository) -> None:
    home = volume(tmp_path, local)
    (home.root / "file").write_text("content")
    kept = home.back_up((), ())
    (home.root / "file").unlink()
    odd_tree(home.root / STAGING / "half", 450)
    home.restore(kept.snapshot, "", overwrite=False)
    assert [path.name for path in home.root.iterdir()] == ["file"]
    odd_tree(home.root / STAGING, 450)
    assert home.back_up((), ()).files == 1


def test_a_restore_that_was_killed_leaves_whole_files_only_and_the_next_one_goes_on(
    tmp_path: Path, local: Repository
) -> None:
    home = volume(tmp_path, local)
    odd_tree(home.root, 900)
    before = picture(home.root)
    kept = home.back_up((), ())
    home.root.rename(tmp_path / "lost")
    home.root.mkdir()
    process = run_in_background(home, local.access, "restore", "--snapshot", kept.snapshot)
    staged = home.root / STAGING
    wait_for(lambda: any(staged.glob("**/big")), "some files", passes_soon=True)
    for member in (*psutil.Process(process.pid).children(), psutil.Process(process.pid)):
        with suppress(psutil.ZombieProcess):  # restic may be done: files are being placed then
            assert PASSWORD not in " ".join(member.cmdline())
        member.kill()
    process.communicate()
    assert staged.exists()
    placed = {
        path: is_what
        for path, is_what in picture(home.root).items()
        if not path.startswith(os.fsencode(STAGING))
    }
    assert placed.items() <= before.items()
    done = home.restore(kept.snapshot, "", overwrite=False)
    assert done.state is State.DONE
    assert picture(home.root) == before


def test_a_drill_compares_what_nobody_changed(tmp_path: Path, local: Repository) -> None:
    home = volume(tmp_path, local)
    odd_tree(home.root, 420)
    kept = home.back_up((), ())
    (home.root / "big").write_text("changed since")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    right = home.drill(kept.snapshot, scratch)
    assert right.state is State.DONE
    assert "2 were changed since" in right.said  # big has a second name
    assert list(scratch.iterdir()) == []
    victim = next(path for path in home.root.glob("*/n*.ipynb") if path.stat().st_size)
    was = victim.stat()
    victim.write_bytes(b"?" * was.st_size)
    os.utime(victim, ns=(was.st_atime_ns, was.st_mtime_ns))
    wrong = home.drill(kept.snapshot, scratch)
    assert wrong.state is State.FAILED
    assert wrong.said.startswith("1 files differ though nobody changed them")


def test_policy_forgets_per_claim(tmp_path: Path, local: Repository) -> None:
    for claim in ("claim-a", "claim-b"):
        home = volume(tmp_path, local, claim)
        for number in range(3 if claim == "claim-a" else 1):
            (home.root / "file").write_text(str(number))
            home.back_up((), ())
    assert local.forget("hub", Retention.parse({"last": 2}).arguments()) == 1
    tags = sorted(tag for snapshot in local.snapshots("hub") for tag in snapshot.tags)
    assert tags == ["claim=claim-a", "claim=claim-a", "claim=claim-b"]
    with pytest.raises(ValueError, match="would keep nothing"):
        Retention.parse({"daily": 0})
    with pytest.raises(ValueError, match="'dayly' is none of last, hourly"):
        Retention.parse({"dayly": 7})


def test_each_complaint_of_restic_names_its_cure_and_no_secret(tmp_path: Path) -> None:
    secrets = secrets_in(tmp_path / "secrets", AWS_SECRET_ACCESS_KEY="key-of-the-backend")
    nowhere = Repository(Access(str(tmp_path / "nowhere"), secrets))
    with pytest.raises(RepositoryMissing, match="notebooks-backup init"):
        nowhere.snapshots("hub")
    nowhere.initialize()
    (secrets / "password").write_text("another")
    with pytest.raises(RepositoryUnavailable, match="password is wrong"):
        nowhere.snapshots("hub")
    with rest_server(tmp_path / "served", "--user=somebody", "--pass=another") as address:
        secret_address = address.replace("//", "//somebody:hidden-word@")
        secret(secrets / "repository", secret_address)
        process = subprocess.run(
            [Path(sys.executable).parent / "notebooks-backup", "list", "--namespace", "hub"],
            env={**os.environ, "NOTEBOOKS_BACKUP_SECRETS_DIR": str(secrets)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert process.returncode == 1
    assert "restic failed: unable to open config file" in process.stderr
    assert "(401)" in process.stderr
    assert "hidden-word" not in process.stderr
    assert len(process.stderr.splitlines()) == 1
    (secrets / "password").unlink()
    with pytest.raises(WrongSetting, match=r"password.*cannot be read"):
        nowhere.snapshots("hub")


def test_secrets_that_everybody_may_read_are_refused_and_those_of_a_pods_group_taken(
    tmp_path: Path,
) -> None:
    """The charts mount Secrets with mode 0440, for the pod's fsGroup."""
    secrets = secrets_in(tmp_path / "secrets", AWS_SECRET_ACCESS_KEY="key-of-the-backend")
    secret(secrets / "repository", "rest:http://somebody:word@127.0.0.1:9/")
    access = Access("", secrets)
    for name in ("password", "repository", "AWS_SECRET_ACCESS_KEY"):
        for mode in (0o444, 0o602):
            (secrets / name).chmod(mode)
            with pytest.raises(WrongSetting, match="can be read by everybody") as refused:
                access.environment()
            assert f"chmod 400 {secrets / name}" in refused.value.cure
        (secrets / name).chmod(0o440)
    assert access.environment()["AWS_SECRET_ACCESS_KEY"] == "key-of-the-backend"


def test_sftp_finds_its_key_and_hosts_in_the_secret(tmp_path: Path) -> None:
    secrets = secrets_in(tmp_path / "secrets", **{"ssh-privatekey": "k", "known_hosts": "h"})
    access = Access("sftp://backup@backup.example.org:2222//srv/notebooks", secrets)
    assert access.backend_options() == [
        "-o",
        (
            "sftp.command=ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"
            f" -o UserKnownHostsFile={secrets}/known_hosts -i {secrets}/ssh-privatekey"
            " -p 2222 backup@backup.example.org -s sftp"
        ),
    ]
