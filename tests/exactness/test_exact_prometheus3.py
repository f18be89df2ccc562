"""Prometheus 3, whose ranges are open on the left: the same data, the same records."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounting.simulation.stores.engines import Engine, run_prometheus
from tests.cluster import programs
from tests.conftest import History, linked
from tests.exactness.polling import HOUR, Written, poll


@pytest.fixture(scope="module")
def prometheus3(history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    program = programs.find("prometheus")
    if program is None:
        pytest.skip("Prometheus 3 is not built: make cluster-programs builds it")
    folder: Path = tmp_path_factory.mktemp("prometheus3") / "data"
    with run_prometheus(linked(history.blocks, folder), program=program) as engine:
        yield engine


@pytest.mark.parametrize("step", [HOUR, 6 * HOUR, 48 * HOUR])
def test_prometheus_3_gives_the_same_records(
    history: History,
    prometheus3: Engine,
    new_ledger: Callable[[], str],
    polled: Written,
    step: int,
) -> None:
    assert poll(prometheus3.url, new_ledger(), history.end, step=step) == polled


def test_polling_prometheus_3_again_changes_nothing(
    history: History, prometheus3: Engine, new_ledger: Callable[[], str], polled: Written
) -> None:
    ledger = new_ledger()
    cuts = range(history.start + 5 * HOUR, history.end, 5 * HOUR)
    poll(prometheus3.url, ledger, *cuts, history.end)
    assert poll(prometheus3.url, ledger, history.end, since=history.start) == polled
