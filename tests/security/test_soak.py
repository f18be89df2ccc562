"""`make soak-http`: attacks for a minute while honest users go on; a short version always."""

import json
import os
from pathlib import Path

import pytest

from tests.security.soak import soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))


def test_honest_users_are_answered_under_attack(
    prometheus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = soak(tmp_path, prometheus, SECONDS)
    with capsys.disabled():
        if "SOAK_SECONDS" in os.environ:
            print(  # noqa: T201 - what the soak is run for
                f"\n{len(outcome.waited):,} honest requests, {len(outcome.failures)} failed; "
                f"median {outcome.worst(0.5):.3f} s, p99 {outcome.worst(0.99):.3f} s, "
                f"longest {max(outcome.waited):.3f} s; {outcome.attacks} rounds of attacks; "
                f"peak memory {outcome.peak_mb:.0f} MB; "
                f"the service took {outcome.cpu_seconds:.0f} CPU s; "
                f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            )
            assert max(outcome.waited) < 2  # not in the short version: other tests run beside it
    assert outcome.attacks
    assert outcome.failures == []
    assert outcome.peak_mb < 400
    logged = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    told = {entry["event"] for entry in logged}
    assert {"polled", "pushed", "stopped"} <= told
    assert not any("exception" in entry for entry in logged)
