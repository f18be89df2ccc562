"""The release: its workflows are sound, and the version is the same wherever it is written."""

import re
import subprocess
import tomllib

import pytest
import yaml

from tests.chart.helm import CHARTS, ROOT
from tests.cluster import programs
from tests.images.dockerfile import read

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def test_the_workflows_are_what_github_can_run() -> None:
    if programs.find("actionlint") is None:
        pytest.skip("actionlint is not built: make cluster-test builds it")
    assert WORKFLOWS
    command = [str(programs.program("actionlint")), "-no-color", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_release_builds_each_target_that_the_charts_name() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    built = jobs["images"]["strategy"]["matrix"]["include"]
    stages = read(ROOT / "Dockerfile").stages.keys()
    assert {one["target"] for one in built} <= stages
    assert {f"{one['kind']}-notebook" for one in built if "kind" in one} <= stages
    named = {
        name
        for file in CHARTS.glob("*/values.yaml")
        for name in re.findall(r"eginotebooks/([\w-]+)", file.read_text())
    }
    others = {one["image"] for one in built if "kind" in one}
    assert {one["image"] for one in built} - others == named


def test_the_version_is_the_same_in_package_charts_and_images() -> None:
    shown = subprocess.run(
        [ROOT / "scripts" / "version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == version()
    for file in CHARTS.glob("*/Chart.yaml"):
        chart = yaml.safe_load(file.read_text())
        assert (chart["version"], chart["appVersion"]) == (version(), version()), file
        for part in chart.get("dependencies", []):
            if part["repository"].startswith("file:"):
                assert part["version"] == version(), file
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(.*)$", text, re.MULTILINE) == [version()]
