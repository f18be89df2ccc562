"""Containers whose counters are told without a cgroup's path (M3)."""

from dataclasses import replace
from pathlib import Path

import pytest

from accounting.measure.promql.kubelet import CPU
from accounting.measure.source import discovery
from accounting.measure.source.prometheus import Source
from tests.exactness.notebooks import ENGINES, START, every, served
from tests.exactness.polling import HOUR, SCOPE


@pytest.mark.parametrize("engine", ENGINES)
def test_containers_without_a_path_are_noticed_by_the_index_alone(
    engine: str, tmp_path: Path
) -> None:
    """Whether the scrape drops their id, or an emitter tells the container's own."""
    ids = {"paths": 'id="/kubepods/pod1/a"', "bare": 'id="0123abcd"', "none": 'image="x"'}
    seen = {
        f'{CPU}{{namespace="{place}",pod="jupyter-a",container="n",{told}}}': every(0, HOUR, float)
        for place, told in ids.items()
    }
    with served(tmp_path, seen, engine) as url, Source(url) as source:
        scopes = (replace(SCOPE, namespace=place) for place in ids)
        found = [discovery.with_emitters(source, one, START, START + HOUR) for one in scopes]
    assert {one.namespace: one.has_names for one in found} == {
        "paths": False,
        "bare": True,
        "none": True,
    }
