"""What holds for every chart: its values, and the manifests of each file in its ci/."""

import functools
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm, manifests
from tests.chart.helm import CHARTS

ALONE = sorted(
    file.parent
    for file in CHARTS.glob("*/Chart.yaml")
    if "dependencies" not in yaml.safe_load(file.read_text())
)
CASES = [file for chart in ALONE for file in sorted(chart.glob("ci/*-values.yaml"))]


def named(path: Path) -> str:
    return f"{path.parent.parent.name}-{path.stem}" if path.suffix else path.name


@functools.cache
def rendered(case: Path) -> list[helm.Manifest]:
    return helm.render(case.parent.parent, case)


def keys(values: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> set[str]:
    """The keys of values, down to where the schema leaves them open."""
    found = set()
    for name, value in values.items():
        found.add(prefix + name)
        about = schema.get("properties", {}).get(name, {})
        if "properties" in about and isinstance(value, dict):
            found |= keys(value, about, f"{prefix}{name}.")
    return found


def described(schema: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found = {}
    for name, about in schema["properties"].items():
        found[prefix + name] = about.get("description", "")
        if "properties" in about:
            found |= described(about, f"{prefix}{name}.")
    return found


def test_there_are_charts_with_cases() -> None:
    assert {case.parent.parent for case in CASES} == set(ALONE)


@pytest.mark.parametrize(
    "chart", sorted(CHARTS.glob("*/Chart.yaml")), ids=lambda file: file.parent.name
)
def test_a_chart_has_the_version_of_the_project(chart: Path) -> None:
    version = tomllib.loads((helm.ROOT / "pyproject.toml").read_text())["project"]["version"]
    about = yaml.safe_load(chart.read_text())
    assert (about["version"], about.get("appVersion", version)) == (version, version)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_case_passes_the_linter(case: Path) -> None:
    done = helm.run("lint", "--strict", case.parent.parent, "--values", case)
    assert (done.returncode, "WARNING" in done.stdout) == (0, False), done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_case_makes_manifests_that_every_supported_kubernetes_takes(case: Path) -> None:
    found = {
        version: [fault for m in rendered(case) for fault in manifests.faults(m, version)]
        for version in manifests.VERSIONS
    }
    assert {version: faults for version, faults in found.items() if faults} == {}


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_case_makes_pods_that_are_confined(case: Path) -> None:
    pods = manifests.pods(rendered(case))
    assert pods
    found = {name: manifests.unconfined(pod) for name, pod in pods.items()}
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_case_puts_everything_into_the_namespace_under_one_release(case: Path) -> None:
    for manifest in rendered(case):
        labels = manifest["metadata"]["labels"]
        assert manifest["metadata"]["namespace"] == "hub"
        assert labels["app.kubernetes.io/instance"] == "egi"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


@pytest.mark.parametrize("chart", ALONE, ids=named)
def test_two_releases_of_a_chart_share_no_object(chart: Path) -> None:
    case = chart / "ci" / "minimal-values.yaml"
    made = [
        {(m["kind"], m["metadata"]["name"]) for m in helm.render(chart, case, release=release)}
        for release in ("one", "two")
    ]
    assert not made[0] & made[1]


@pytest.mark.parametrize("chart", ALONE, ids=named)
def test_a_long_release_name_still_makes_valid_names(chart: Path) -> None:
    made = helm.render(chart, chart / "ci" / "minimal-values.yaml", release="r" * 53)
    for manifest in made:
        longest = 52 if manifest["kind"] == "CronJob" else 63  # a Job's name adds 11 characters
        assert len(manifest["metadata"]["name"]) <= longest
        for value in manifest["metadata"]["labels"].values():
            assert len(value) <= 63


@pytest.mark.parametrize("chart", ALONE, ids=named)
def test_the_schema_has_a_sentence_for_every_key_of_the_values_and_no_other(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    sentences = described(schema)
    given = keys(yaml.safe_load((chart / "values.yaml").read_text()), schema)
    assert set(sentences) - {"global", "enabled"} == given
    short = {key for key, text in sentences.items() if not re.search(r"\w.*[.]$", text)}
    assert short == set()


@pytest.mark.parametrize("chart", ALONE, ids=named)
def test_the_cases_of_a_chart_name_only_keys_that_it_knows(chart: Path) -> None:
    """And the case 'everything', where there is one, names all of them."""
    schema = json.loads((chart / "values.schema.json").read_text())
    all_keys = set(described(schema))
    for case in chart.glob("ci/*-values.yaml"):
        named_keys = keys(yaml.safe_load(case.read_text()), schema)
        assert named_keys <= all_keys, case


@pytest.mark.parametrize("chart", ALONE, ids=named)
def test_a_misspelt_key_is_refused_with_the_right_spelling(chart: Path) -> None:
    case = chart / "ci" / "minimal-values.yaml"
    said = helm.refusal(chart, case, settings=("imagePullSecret=x", "podAnotations.a=b"))
    assert "imagePullSecret: did you mean imagePullSecrets?" in said
    assert "podAnotations: did you mean podAnnotations?" in said


def test_a_manifest_that_kubernetes_would_refuse_is_found() -> None:
    """The validator itself: a typo, and a field of a later Kubernetes."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", "imagePullpolicy": "Always"}]},
    }
    assert "imagePullpolicy" in manifests.faults(pod, "1.28")[0]
    pod["spec"] = {"containers": [{"name": "a"}], "hostnameOverride": "b"}  # since 1.34
    assert manifests.faults(pod, "1.28")
    assert not manifests.faults(pod, "1.37")


def test_a_pod_that_is_not_confined_is_found() -> None:
    pod = {
        "hostNetwork": True,
        "volumes": [{"name": "a", "hostPath": {"path": "/"}}],
        "containers": [{"name": "a"}],
    }
    assert len(manifests.unconfined(pod)) == 8
