"""What the images are made of is written down, and looked up among known vulnerabilities."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from tests.browser import ROOT

PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==([^\s;]+)", re.MULTILINE)


def test_the_bill_of_materials_has_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "sbom", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("service", "hub6"):
        bill = json.loads((tmp_path / f"{name}.cdx.json").read_text())
        assert bill["bomFormat"] == "CycloneDX"
        lock = (ROOT / "requirements" / f"{name}.lock").read_text()
        pinned = {(found[1].lower(), found[2]) for found in PINNED.finditer(lock)}
        listed = {(one["name"].lower(), one["version"]) for one in bill["components"]}
        assert listed == pinned
        for one in bill["components"]:
            hashes = [h for ref in one["externalReferences"] for h in ref.get("hashes", [])]
            assert any(h["alg"] == "SHA-256" and h["content"] in lock for h in hashes), one["name"]


DIGEST = "sha256:" + "0123456789abcdef" * 4
ASKED = """#!/bin/sh
case "$*" in
*uv*) echo "no route to host" >&2; exit 1 ;;
*) echo %s ;;
esac
"""


def digests(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """What pins the bases, over a Dockerfile of its own, with a docker that says what we like."""
    command = [str(folder / "scripts" / "digests"), *arguments]
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)


def test_bases_are_pinned_where_a_registry_can_be_asked_and_a_release_is_refused_otherwise(
    tmp_path: Path,
) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "scripts" / "digests", tmp_path / "scripts")
    (tmp_path / "bin" / "docker").write_text(ASKED % DIGEST)
    (tmp_path / "bin" / "docker").chmod(0o755)
    dockerfile = tmp_path / "Dockerfile"
    old = "sha256:" + "f" * 64
    dockerfile.write_text(
        f"ARG A_IMAGE=a:1@{old}\nARG B_IMAGE=example.org/b:2\nARG UV_IMAGE=uv:3\nARG X=1\n"
    )
    assert digests(tmp_path).returncode == 3
    assert dockerfile.read_text() == (
        f"ARG A_IMAGE=a:1@{old}\nARG B_IMAGE=example.org/b:2@{DIGEST}\nARG UV_IMAGE=uv:3\nARG X=1\n"
    )
    checked = digests(tmp_path, "--check")
    assert (checked.returncode, checked.stdout.partition(" has")[0]) == (1, "UV_IMAGE: uv:3")
    (tmp_path / "bin" / "docker").write_text(f"#!/bin/sh\necho {DIGEST}\n")
    assert digests(tmp_path, "--renew").returncode == 0
    assert digests(tmp_path, "--check").returncode == 0
    assert digests(tmp_path, "--arguments").stdout == (
        f"A_IMAGE=a:1@{DIGEST}\nB_IMAGE=example.org/b:2@{DIGEST}\nUV_IMAGE=uv:3@{DIGEST}\n"
    )


def test_the_services_own_images_rest_on_pinned_bases_and_a_release_needs_all() -> None:
    loose = digests(ROOT, "--check").stdout
    assert not re.search("^(PYTHON|UV)_IMAGE", loose, re.MULTILINE)
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert release.index("scripts/digests --check") < release.index("build-push-action")


def audited(tmp_path: Path, said: str) -> "subprocess.CompletedProcess[str]":
    """The audit's own words about what the tool says."""
    script = (ROOT / "scripts" / "audit").read_text()
    run = tmp_path / "audit"
    run.write_text(script.replace("sys.exit(main())", f"sys.exit(told('x.lock', Said({said!r})))"))
    lines = run.read_text().replace(
        "ROOT = Path",
        "class Said:\n    def __init__(self, out):\n"
        '        self.stdout, self.stderr = out, ""\n\n\nROOT = Path',
        1,
    )
    run.write_text(lines)
    return subprocess.run(["python3", run], capture_output=True, text=True, check=False)


def test_an_audit_that_could_not_look_things_up_says_so_and_does_not_pass(tmp_path: Path) -> None:
    fine = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "not found"}
    bad = {**fine, "vulns": [{"id": "CVE-0", "fix_versions": ["2"]}]}
    for found, code, word in (
        ([fine], 0, "1 packages audited, 0 known"),
        ([fine, skipped], 3, "1 of 2 packages NOT audited"),
        ([bad], 1, "a 1: CVE-0, mended in 2"),
        (None, 3, "NOT audited, the service cannot be reached"),
    ):
        done = audited(tmp_path, json.dumps({"dependencies": found}) if found else "")
        assert (done.returncode, word in done.stdout) == (code, True), done.stdout
