"""The charts in a real cluster: admission, readiness, schedules."""

from typing import Any

import httpx
import pytest

from tests.cluster.conftest import Cluster
from tests.cluster.release import Release, folder, minimal

pytestmark = pytest.mark.usefixtures("operators_kinds")


def test_a_chart_installs_where_admission_is_strict_and_gets_ready(
    release: Release, chart: str
) -> None:
    release.deploy(folder(chart), minimal(chart))
    assert release.available() == [True]
    assert release.refusals() == []


def test_every_setting_of_a_chart_is_taken_by_the_api_server(release: Release, chart: str) -> None:
    """Without waiting: what these values name, such as a claim, is not there."""
    everything = folder(chart) / "ci" / "everything-values.yaml"
    release.dry_run(folder(chart), everything)


def test_a_push_is_fired_by_its_schedule(release: Release) -> None:
    chart = "notebooks-accounting"
    release.deploy(folder(chart), minimal(chart), push__schedule="* * * * *")
    (cronjob,) = release.objects("cronjobs", "apis/batch/v1")
    job = release.job_of(cronjob["metadata"]["name"])
    assert job["status"]["succeeded"] == 1
    assert release.refusals() == []


def test_a_pod_that_asks_for_too_much_is_refused_in_this_namespace(
    cluster: Cluster, strict: str
) -> None:
    """The tests above would not see admission at all if it were switched off."""
    path = f"/api/v1/namespaces/{strict}/pods"
    box: dict[str, Any] = {"name": "box", "image": "example.org/box:1"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "box"}}
    answer = cluster.client.http.post(path, json={**pod, "spec": {"containers": [box]}})
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert "violates PodSecurity" in answer.json()["message"]
