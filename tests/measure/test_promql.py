"""The questions: every one is understood by both engines, and spelled as the cluster spells."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from accounting.measure.promql import dcgm, ksm, kubelet, presence, scheduler, scope
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.model.time import Window
from accounting.simulation.stores.engines import run_prometheus, run_victoria_metrics

WINDOW = Window(1_762_000_000, 1_762_003_600)
PLAIN = Scope("hub", "jupyter-.*")
ODD = Scope(
    'the "hub"',
    r"jupyter-\d+|a\.b",
    container='note"book',
    label=("example.org/component", "single\\user"),
    exported_state=frozenset({"namespace", "pod", "container", "node"}),
    exported_usage=frozenset({"namespace", "pod", "container"}),
    exported_scheduling=frozenset({"namespace", "pod"}),
    among_many=True,
    limits_first=True,
)
LABELLED = Scope("hub", "jupyter-.*", label=("component", "singleuser-server"))
ONLY = scope.one_of("uid", ["a-b", 'c"d', "e.f"])

QUESTIONS: dict[str, Callable[[Scope], str]] = {
    "times": lambda s: ksm.times(s, WINDOW, ONLY),
    "made anew": lambda s: ksm.made_anew(s, WINDOW),
    "finished": lambda s: ksm.finished(s, WINDOW, ONLY),
    "readiness of nodes": lambda s: ksm.readiness(s, WINDOW),
    "unready pods": lambda s: ksm.unready_pods(s, WINDOW),
    "claims": lambda s: ksm.claims(s, WINDOW),
    "node labels": lambda s: ksm.node_labels(s, WINDOW),
    "pods of nodes": lambda s: ksm.pods_of_nodes(s, WINDOW, scope.one_of("node", ["a.b"])),
    "pods made without a uid": lambda s: presence.created_without_uid(s, 3600),
    "several clusters": presence.several_clusters,
    "several clusters by pods": presence.several_clusters_by_pods,
    "owners": lambda s: ksm.owners(s, WINDOW, ONLY),
    "resources": lambda s: ksm.resources(s, WINDOW, ONLY),
    "other resources": lambda s: ksm.other_resources(s, WINDOW),
    "resized": lambda s: ksm.resized(s, WINDOW, limits=False, lookback_seconds=900, thorough=False),
    "resized, thoroughly": lambda s: ksm.resized(
        s, WINDOW, ONLY, limits=True, lookback_seconds=900, thorough=True
    ),
    "images": lambda s: ksm.images(s, WINDOW),
    "mounts": lambda s: ksm.mounts(s, WINDOW),
    "claim sizes": lambda s: ksm.claim_sizes(s, WINDOW),
    "cpu": lambda s: kubelet.cpu(s, WINDOW),
    "without path": lambda s: kubelet.without_path(s, WINDOW),
    "containers without an id": lambda s: kubelet.named_containers(s)[0],
    "containers with a bare id": lambda s: kubelet.named_containers(s)[1],
    "OpenTelemetry's pods": kubelet.otel_pods,
    "told by others": lambda s: kubelet.told_by_others(s, 60.0),
    "told by others of some, with OpenTelemetry": lambda s: kubelet.told_by_others(
        replace(s, has_otel=True), 60.0, scope.one_of(s.usage("pod"), ["a"]), ["a"]
    ),
    "init resources": lambda s: ksm.init_resources(s, WINDOW, ONLY),
    "sidecars": lambda s: ksm.sidecars(s, WINDOW, ONLY),
    "scheduled resources": lambda s: scheduler.scheduled_resources(s, WINDOW),
    "kube-scheduler speaks": lambda s: scheduler.speaks(s, 600),
    "rescheduled": lambda s: scheduler.rescheduled(s, WINDOW, 900),
    "first scheduled": lambda s: scheduler.first_scheduled(s, WINDOW, 900),
    "cpu limit": lambda s: kubelet.cpu_limit(s, WINDOW, ONLY),
    "relimited": lambda s: kubelet.relimited(s, WINDOW, 900, ONLY),
    "memory limit": lambda s: kubelet.memory_limit(s, WINDOW, ONLY),
    "container cpu": lambda s: kubelet.container_cpu(s, WINDOW, ONLY),
    "network": lambda s: kubelet.network(s, WINDOW, kubelet.SENT),
    "resets": lambda s: kubelet.resets(s, WINDOW),
    "resets of some": lambda s: kubelet.resets(s, WINDOW, ONLY),
    "resets of networks": lambda s: kubelet.network_resets(s, WINDOW),
    "resets of containers": lambda s: kubelet.box_resets(s, WINDOW, ONLY),
    "told shortly before": lambda s: kubelet.told_shortly_before(s, WINDOW),
    "lowest cpu": lambda s: kubelet.lowest_cpu(s, WINDOW, ONLY),
    "memory peak": lambda s: kubelet.memory_peak(s, WINDOW, ONLY),
    "seen by cAdvisor": lambda s: kubelet.seen_by_cadvisor(s, WINDOW, ONLY),
    "presence": lambda s: presence.recent(s, 3600),
    "other pods": lambda s: presence.other_pods(s, WINDOW),
}
RAW: dict[str, Callable[[Scope], str]] = {
    "running": lambda s: ksm.running(s, WINDOW),
    "heartbeat": lambda s: presence.heartbeat(s, WINDOW),
    "pods' heartbeat": lambda s: presence.pods_heartbeat(s, WINDOW),
    "readiness": lambda s: ksm.raw_readiness(s, WINDOW, scope.one_of("node", ["a.b"])),
    "pods' readiness": lambda s: ksm.raw_pod_readiness(s, WINDOW, ONLY),
    "use of devices": lambda s: dcgm.device_use(s, WINDOW, ["a-b", "c"], exported=True),
    "raw counters": lambda s: kubelet.raw_counters(s, WINDOW, ONLY),
    "raw state": lambda s: ksm.raw_state(s, WINDOW, "kube_pod_annotations", ONLY),
    "raw cpu limits": lambda s: ksm.raw_cpu_limits(s, WINDOW, ONLY),
    "raw resources": lambda s: ksm.raw_resources(s, WINDOW, 900, ONLY),
    "raw limits": lambda s: kubelet.raw_limits(s, WINDOW, 900, ONLY),
    "raw, from kube-scheduler": lambda s: scheduler.raw_scheduled(s, WINDOW, 900, ONLY),
    "raw, from OpenTelemetry": lambda s: kubelet.raw_otel(s, WINDOW, ["a-b", "c"]),
    "raw memory": lambda s: kubelet.raw_memory(s, WINDOW, ONLY),
}


@pytest.fixture(scope="module", params=[run_prometheus, run_victoria_metrics])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Source]:
    folder = tmp_path_factory.mktemp("engine") / "data"
    with request.param(folder) as running, Source(running.url) as source:
        yield source


@pytest.mark.parametrize("question", [*QUESTIONS, *RAW])
def test_every_selector_has_the_matchers_of_the_settings(question: str) -> None:
    scope = replace(PLAIN, matchers='cluster="a"', has_otel=True)
    text = (QUESTIONS | RAW)[question](scope)
    assert text.count("{") == text.count('cluster="a"') > 0


@pytest.mark.parametrize("scope", [PLAIN, ODD], ids=["plain", "odd"])
def test_every_question_is_understood(engine: Source, scope: Scope) -> None:
    for ask in QUESTIONS.values():
        assert engine.vector(ask(scope), WINDOW.end) == []
    for ask in RAW.values():
        assert engine.raw(ask(scope), WINDOW.end) == []
    for labelled in (LABELLED, ODD):
        assert engine.vector(ksm.labelled(labelled, WINDOW), WINDOW.end) == []


def test_a_required_label_is_spelled_as_kube_state_metrics_does() -> None:
    text = ksm.labelled(ODD, WINDOW)
    for spelling in ("", "_conflict1", "_conflict2"):
        assert f'label_example_org_component{spelling}="single\\\\user"' in text
    capital = replace(PLAIN, label=("example.org/partOf", "a"), more_conflicts=("_conflict42",))
    text = ksm.labelled(capital, WINDOW)
    for spelling in ("part_of", "part_of_conflict42", "partOf_conflict1"):
        assert f'label_example_org_{spelling}="a"' in text
    with pytest.raises(ValueError, match="no label"):
        ksm.labelled(PLAIN, WINDOW)


@pytest.mark.parametrize("name", [*QUESTIONS, *RAW])
def test_labels_that_the_scrape_renamed_are_asked_for_by_their_new_names(name: str) -> None:
    text = (QUESTIONS | RAW)[name](ODD)
    assert re.findall(r"(?<!\w)(?:namespace|pod|container)(?!\w)", text) == []


def test_a_window_excludes_its_start() -> None:
    """Prometheus 2 includes both ends of a range: a millisecond less leaves the start out."""
    assert scope.span(PLAIN, WINDOW) == "[3599999ms]"
    assert scope.span(PLAIN, WINDOW, 900) == "[4499999ms]"
    left_open = replace(PLAIN, is_closed=False)
    assert scope.span(left_open, WINDOW) == "[3600000ms]"


def test_texts_become_literals_and_names_alternatives() -> None:
    assert scope.quote('a"b\\c\nž') == '"a\\"b\\\\c\\nž"'
    assert scope.one_of("pod", ["b.c", "a"]) == r'pod=~"a|b\\.c"'


@pytest.mark.parametrize("name", [*QUESTIONS, *RAW])
def test_nothing_is_extrapolated(name: str) -> None:
    text = (QUESTIONS | RAW)[name](PLAIN)
    assert not any(f"{word}(" in text for word in ("rate", "irate", "increase", "delta"))
