"""Each value, set to null: it is left out, or refused by its name. Null takes a default away."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm, manifests, upstream
from tests.chart.helm import CHARTS, refusal
from tests.chart.umbrella import CHART, assembled

OWN = ("notebooks-accounting", "notebooks-backup", "notebooks-monitoring")
RESTRICTED = CHART / "ci" / "restricted-values.yaml"  # all parts
Path_ = tuple[str, ...]

NEEDED: dict[str, Any] = yaml.safe_load((CHART / "files" / "needed.yaml").read_text())

GIVEN = {
    "siteName": "notebooks-accounting",
    "ssm.hostcert": "notebooks-accounting",
    "ssm.hostkey": "notebooks-accounting",
    "repository": "notebooks-backup",
    "password": "notebooks-backup",
    "hubUrl": "notebooks-monitoring",
}
"""What each site must say, and of which chart it is."""

# Prometheus' chart has had them for some of its versions only; its templates name them.
LATER = {
    "prometheus.server.daemonSet",
    "prometheus.server.route",
    "prometheus.server.route.main",
    "prometheus.configmapReload.prometheus.startupProbe",
}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembled(tmp_path_factory.mktemp("umbrella"))


def nulls(*paths: Path_) -> dict[str, Any]:
    """Values in which these paths are null."""
    values: dict[str, Any] = {}
    for *above, last in paths:
        at = values
        for step in above:
            at = at.setdefault(step, {})
        at[last] = None
    return values


def merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm takes them."""
    both = {k: merged(one[k], two[k]) for k in one.keys() & two.keys() if isinstance(two[k], dict)}
    return {**one, **two, **both}


@pytest.mark.parametrize("depth", sorted({path.count(".") for path in NEEDED}))
def test_a_null_that_another_projects_chart_cannot_read_is_refused_by_its_name(
    chart: Path, tmp_path: Path, depth: int
) -> None:
    chosen = {path: about for path, about in NEEDED.items() if path.count(".") == depth}
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(nulls(*(tuple(path.split(".")) for path in chosen))))
    said = refusal(chart, RESTRICTED, file)
    for path, about in chosen.items():
        example = "{}" if about == "section" else about["needed"]
        shown = str(example).lower() if isinstance(example, bool) else example
        assert f"{path} is null" in said
        assert f"for example '{path}: {shown}'" in said


def test_the_nulls_of_a_part_that_is_left_out_are_nobodys(chart: Path, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps({"prometheus": {"enabled": False, "server": None}}))
    url = "notebooks-accounting.prometheus.url=http://thanos:9090"
    assert helm.render(chart, RESTRICTED, file, settings=(url,))


@pytest.mark.parametrize(
    "given",
    [{"kube-state-metrics": None}, {"kube-state-metrics": {"metricAnnotationsAllowList": []}}],
)
def test_a_kube_state_metrics_that_names_no_owner_is_refused(
    chart: Path, tmp_path: Path, given: dict[str, Any]
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps({"prometheus": given}))
    said = refusal(chart, RESTRICTED, file)
    assert "prometheus.kube-state-metrics.metricAnnotationsAllowList: ['pods=[hub." in said
    other = {"metricAnnotationsAllowList": ["pods=[*]"]}
    file.write_text(json.dumps({"prometheus": {"kube-state-metrics": other}}))
    assert helm.render(chart, RESTRICTED, file)


@pytest.mark.parametrize("part", OWN)
def test_a_part_refuses_its_nulls_before_the_umbrella_reads_them(
    chart: Path, tmp_path: Path, part: str
) -> None:
    known = yaml.safe_load((CHARTS / part / "files" / "keys.yaml").read_text())
    chosen = [path for path, about in known.items() if about == "section" and "." not in path]
    assert len(chosen) > 5
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(nulls(*((part, path) for path in chosen))))
    said = refusal(chart, RESTRICTED, file)
    assert {path for path in chosen if f" {path} is null" not in said} == set()


@pytest.mark.parametrize(("path", "name"), GIVEN.items())
def test_what_a_site_must_say_is_asked_for_where_it_is_null(
    tmp_path: Path, path: str, name: str
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(nulls(tuple(path.split(".")))))
    said = refusal(CHARTS / name, CHARTS / name / "ci" / "minimal-values.yaml", file)
    assert f"The values of {name} cannot be installed: {path} " in said


@pytest.mark.parametrize("name", OWN)
def test_every_other_value_of_a_part_may_be_null_one_after_the_other(
    tmp_path: Path, name: str
) -> None:
    """In one run of Helm: a chart that has the part once for each value."""
    known = yaml.safe_load((CHARTS / name / "files" / "keys.yaml").read_text())
    chosen = [
        path
        for path, about in known.items()
        if about == "value" and path not in {"global", "enabled", *GIVEN}
    ]
    assert len(chosen) > 30
    smallest = yaml.safe_load((CHARTS / name / "ci" / "minimal-values.yaml").read_text())
    about: dict[str, Any] = {"apiVersion": "v2", "name": "all", "version": "1.0.0"}
    about["dependencies"] = [
        {"name": name, "version": "*", "alias": f"part-{number}"} for number in range(len(chosen))
    ]
    values = {
        f"part-{number}": merged(smallest, nulls(tuple(path.split("."))))
        for number, path in enumerate(chosen)
    }
    shutil.copytree(CHARTS / name, tmp_path / "all" / "charts" / name)
    (tmp_path / "all" / "Chart.yaml").write_text(json.dumps(about))
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values))
    done = helm.run("template", "e", tmp_path / "all", "--namespace", "hub", "--values", file)
    assert done.returncode == 0, done.stderr
    sources = set(re.findall(r"^# Source: all/charts/(.*)/templates/", done.stdout, re.MULTILINE))
    assert {alias for alias in values if alias not in sources} == set()
    same = dict.fromkeys(re.sub(r"part-\d+", name, done.stdout).split("\n---\n"))
    made = [manifest for text in same if (manifest := yaml.safe_load(text))]
    assert len(made) > len(chosen) // 2
    assert [fault for m in made for fault in manifests.faults(m, "1.37")] == []


def everything() -> Iterator[Path_]:
    """Every value of this project's charts, and every section of the others'."""
    umbrella = yaml.safe_load((CHART / "values.yaml").read_text())
    own = {part: yaml.safe_load((CHARTS / part / "values.yaml").read_text()) for part in OWN}
    yield from (path for path, _ in below(merged(umbrella, own)))
    others = {name: upstream.defaults(name) for name in upstream.VERSIONS}
    given = {path for path, _ in below(merged(umbrella, own))}
    yield from (
        path for path, value in below(others) if isinstance(value, dict) and path not in given
    )


def below(values: dict[str, Any], *above: str) -> Iterator[tuple[Path_, Any]]:
    for key, value in values.items():
        yield (*above, key), value
        if isinstance(value, dict):
            yield from below(value, *above, key)


@pytest.mark.skipif(not upstream.is_real(), reason="needs the real charts: UPSTREAM_CHARTS")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", ["jupyterhub", "prometheus", *OWN])
def test_every_value_is_set_to_null_with_the_real_charts(
    chart: Path, tmp_path: Path, part: str
) -> None:
    """One after the other: each makes what Kubernetes takes, or is refused by its name."""
    file = tmp_path / "values.yaml"
    wrong: list[tuple[Path_, str]] = []
    known: set[str] = set()  # what most values leave as it is
    for path in everything():
        if path[0] != part or ".".join(path) in LATER:
            continue
        file.write_text(json.dumps(nulls(path)))
        given = ("--namespace", "hub", "--values", RESTRICTED, "--values", file)
        done = helm.run("template", "egi", chart, *given)
        if done.returncode:
            asked = any(words in done.stderr for words in REFUSALS)
            named = any(name in done.stderr.replace("\n", " ") for name in names(path))
            wrong += [] if asked and named else [(path, done.stderr[-200:])]
        else:
            made = set(done.stdout.split("\n---\n")) - known
            known |= made
            read = (yaml.safe_load(text) for text in made)
            wrong += [(path, f) for m in read if m for f in manifests.faults(m, "1.37")]
    assert wrong == []


REFUSALS = ("The values of", "execution error at", "meet the specifications")
"""How ours begin, those of other charts' templates, and those of schemas."""


def names(path: Path_) -> tuple[str, ...]:
    """How a refusal may spell a path; where its name goes, the hub's address of a part is told."""
    address = f"the hub asks for {path[0]}" if path[-1] == "fullnameOverride" else path[-1]
    return ".".join(path[1:]) or path[0], path[-1], path[-1].replace("/", "~1"), address
