"""`notebooks-hub homes`: which claim each user will get, and whose homes need a look."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hub.migration.cli import app
from hub.migration.homes import User, survey
from hub.spawner.manifests import OWNER

ADA, BOB = "ada@example.org", "bob@example.org"
STORAGE = {"component": "singleuser-storage"}


def claim(
    name: str, owner: str = "", labels: Mapping[str, str] | None = None, **meta: Any
) -> dict[str, Any]:
    annotations = {OWNER: owner} if owner else {}
    metadata = {"name": name, "annotations": annotations, "labels": {**STORAGE, **(labels or {})}}
    status = {"phase": "Bound", "capacity": {"storage": "10Gi"}}
    return {"metadata": {**metadata, **meta}, "status": status}


def said(*claims: dict[str, Any], ada: User | None = None) -> dict[str, str]:
    """What is told, by user or claim; `ada` is what the hub's database says of her."""
    found = asyncio.run(survey(claims, {ADA: ada} if ada else {}))
    return {finding.where: finding.what for finding in found.findings}


def test_one_home_for_each_user_is_nothing_to_tell() -> None:
    claims = [claim("3a731b87", ADA), claim("claim-2", BOB)]
    found = asyncio.run(survey(claims, {"new@example.org": User(3)}))
    assert (found.homes, found.findings) == ({ADA: "3a731b87", BOB: "claim-2"}, ())


def test_several_homes_are_told_with_the_one_that_will_be_used() -> None:
    old = claim("3a731b87", ADA, creationTimestamp="2021-03-04T10:00:00Z")
    new = claim("claim-1", ADA, creationTimestamp="2026-01-02T10:00:00Z")
    assert said(old, new) == {
        ADA: "has 2 homes: 3a731b87 (10Gi, 2021-03-04) is used, claim-1 (10Gi, 2026-01-02) not;"
        " merge them"
    }
    assert "claim-1 (10Gi, 2026-01-02) is used" in said(old, new, ada=User(1))[ADA]
    remembered = User(1, ("3a731b87",))
    assert "3a731b87 (10Gi, 2021-03-04) is used" in said(old, new, ada=remembered)[ADA]


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ([], "had 3a731b87, which is gone"),
        ([claim("3a731b87", BOB)], "had 3a731b87, which has another user's name on it"),
        (
            [claim("3a731b87", ADA, deletionTimestamp="2026-01-02T10:00:00Z")],
            "has a home that is being deleted: 3a731b87",
        ),
        (
            [claim("old", ADA, {"release": "hub"}), claim("3a731b87", ADA, {"release": "other"})],
            "",
        ),
        (
            [claim("else", ADA, {"release": "other"}), claim("3a731b87", BOB)],
            "has a home of another release: else; see EGISpawner.earlier_releases",
        ),
    ],
)
def test_homes_that_a_start_would_not_find_are_told(
    claims: list[dict[str, Any]], told: str
) -> None:
    found = asyncio.run(survey(claims, {ADA: User(1, ("3a731b87",))}, ("hub",)))
    what = " ".join(finding.what for finding in found.findings if finding.where == ADA)
    assert told in what


def test_claims_without_a_name_are_told_unless_the_hub_knows_them() -> None:
    plain = claim("3a731b87")
    labelled = claim("claim-ada", labels={OWNER: "ada-example-org---d5e1bd0f"})
    assert "has no user's name on it" in said(plain)["3a731b87"]
    assert "--hub-db" in said(labelled)["claim-ada"]
    assert said(plain, ada=User(1, ("3a731b87",))) == {}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A listing of claims, and a hub's database in which ada has mounted the older one."""
    items = [claim("old", ADA), claim("claim-1", ADA), claim("own"), claim("claim-2", BOB)]
    items[2]["metadata"]["labels"] = {}  # nobody's home: an operator's own
    (tmp_path / "claims.json").write_text(json.dumps({"items": items}), encoding="utf-8")
    with sqlite3.connect(tmp_path / "jupyterhub.sqlite") as database:
        database.execute("CREATE TABLE users (id INTEGER, name TEXT)")
        database.execute("CREATE TABLE spawners (user_id INTEGER, name TEXT, state TEXT)")
        database.executemany("INSERT INTO users VALUES (?, ?)", [(1, ADA), (2, BOB)])
        states = [(1, "", '{"pvc_name": "old"}'), (1, "gpu", None)]
        database.executemany("INSERT INTO spawners VALUES (?, ?, ?)", states)
    return tmp_path


def test_the_command_names_users_and_ends_with_3_where_there_is_something_to_decide(
    files: Path,
) -> None:
    command = ["homes", str(files / "claims.json")]
    alone = CliRunner().invoke(app, command)
    assert alone.exit_code == 3
    assert alone.stdout == (
        "2 users have a home.\n"
        f"- {ADA} has 2 homes: claim-1 (10Gi, undated) is used, old (10Gi, undated) not;"
        " merge them\n"
    )
    known = CliRunner().invoke(app, [*command, f"--hub-db=sqlite:///{files}/jupyterhub.sqlite"])
    assert "old (10Gi, undated) is used" in known.stdout


def test_nothing_to_decide_ends_with_0(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    path.write_text(json.dumps({"items": [claim("claim-1", ADA)]}), encoding="utf-8")
    done = CliRunner().invoke(app, ["homes", str(path)])
    assert (done.exit_code, done.stdout) == (0, "1 user has a home.\n")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"items": [{}]}', "kind: List"])
def test_what_is_no_listing_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claims.json"
    path.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["homes", str(path)])
    assert done.exit_code == 2
    assert "is no listing of claims" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    ["sqlite:///nowhere.sqlite", "no url", "sqlite:////", "mysql+none://u:hidden@127.0.0.1/hub"],
)
def test_a_database_that_is_no_hub_s_is_one_clear_line_without_its_password(
    files: Path, url: str
) -> None:
    done = CliRunner().invoke(app, ["homes", str(files / "claims.json"), f"--hub-db={url}"])
    assert done.exit_code == 2
    assert "sqlite:///jupyterhub.sqlite" in done.stderr
    assert "hidden" not in done.output
    assert len(done.stderr.splitlines()) == 1
    assert not Path("nowhere.sqlite").exists()
