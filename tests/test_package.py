"""The built package works without the checkout it came from."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_brings_its_migrations_and_runs_alone(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "accounting",
        "d4scienceauthenticator",  # and the next two: what old configuration imports
        "egi_notebooks_hub",
        "egispawner",
        "hub",
        "notebooks_settings",
        "ssm",
    }
    assert {"hub/pages/logo-egi.svg", "hub/pages/templates/egi.css"} <= set(names)
    assert {"accounting/web/templates/base.html", "accounting/web/static/pages.css"} <= set(names)
    program = "import accounting.cli as c; print(c.__file__); c.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "db", "upgrade"],
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "ACCOUNTING_SITE_NAME": "EXAMPLE-SITE",
            "ACCOUNTING_PROMETHEUS__NAMESPACE": "hub",
            "ACCOUNTING_DATABASE_URL": f"sqlite:///{tmp_path / 'accounting.db'}",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(str(site))
    assert (tmp_path / "accounting.db").exists()
