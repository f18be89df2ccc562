"""Bad answers: each is one clear error with its cure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounting.errors import (
    SourceGarbled,
    SourceRefused,
    SourceUnavailable,
)
from accounting.measure.source.connection import Access
from accounting.measure.source.prometheus import Source
from accounting.measure.source.times import running_times
from accounting.model.time import Window
from accounting.simulation.stores.engines import free_port
from tests.measure.answers import BAD, Bad, Params, Reply, server, vector


def is_one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and len(text) < 500


@pytest.mark.parametrize("bad", BAD, ids=[b.name for b in BAD])
def test_a_bad_answer_is_one_clear_error_with_its_cure(bad: Bad) -> None:
    with (
        server(lambda *_: bad.reply) as url,
        Source(url, timeout_seconds=bad.timeout_seconds) as source,
        pytest.raises(bad.error) as caught,
    ):
        source.vector("up", 1762000000)
    assert type(caught.value) is bad.error
    assert url in caught.value.message
    assert bad.said in caught.value.message
    assert bad.cure in caught.value.cure
    assert is_one_line(caught.value.message)
    assert is_one_line(caught.value.cure)


def test_nobody_at_the_address_is_one_clear_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Source(url) as source, pytest.raises(SourceUnavailable, match="cannot be reached") as no:
        source.vector("up", 1762000000)
    assert url in no.value.message
    assert "ACCOUNTING_PROMETHEUS__URL" in no.value.cure


@pytest.mark.parametrize("url", ["no url at all", "ftp://example.org", "http://"])
def test_a_url_that_is_none_is_one_clear_error(url: str) -> None:
    with Source(url) as source, pytest.raises(SourceUnavailable) as caught:
        source.vector("up", 1762000000)
    assert "ACCOUNTING_PROMETHEUS__URL" in caught.value.cure


@pytest.mark.parametrize(
    "ask",
    [
        lambda source: source.raw("up[5m]", 1762000000),
        lambda source: list(source.sightings("up[5m]", 1762000000)),
        lambda source: source.first_time("up", Window(0, 600), 60),
        lambda source: source.label_names(["up"], 0, 600),
    ],
    ids=["raw samples", "sightings", "first time", "label names"],
)
@pytest.mark.parametrize("bad", BAD[-6:-2], ids=[b.name for b in BAD[-6:-2]])
def test_no_question_takes_an_incomplete_answer(ask: Callable[[Source], Any], bad: Bad) -> None:
    with server(lambda *_: bad.reply) as url, Source(url) as source, pytest.raises(SourceGarbled):
        ask(source)


def test_no_thread_is_the_first_to_look_at_what_an_answer_consists_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where two do so at once, msgspec crashes: all is made when the module is loaded."""
    for made_late in ("decode", "Decoder"):
        monkeypatch.delattr(f"msgspec.json.{made_late}")
    none: dict[str, Any] = {"status": "success", "data": {"result": []}}
    listed = {"status": "success", "data": []}

    def answer(path: str, _params: Params, _authorization: str) -> Reply:
        is_list = path.endswith(("labels", "series"))
        return Reply(body=json.dumps(listed if is_list else none).encode())

    with server(answer) as url, Source(url) as source:
        assert source.vector("up", 60) == []
        assert source.usage("up", 60) == []
        assert source.raw("up[5m]", 60) == []
        assert list(source.sightings("up[5m]", 60)) == []
        assert source.first_time("up", Window(0, 600), 60) is None
        assert source.at_any_step("up", Window(0, 600), 60) == []
        assert source.label_names(["up"], 0, 600) == set()
        assert source.label_sets("up", 0, 600) == []
    with (
        server(lambda *_: Reply(400, b'{"error": "no such function"}')) as url,
        Source(url) as source,
        pytest.raises(SourceRefused, match="no such function"),
    ):
        source.vector("up()", 60)


def test_remarks_that_are_no_warnings_do_not_matter() -> None:
    reply = vector(({"uid": "u"}, "1"), infos=["metric might not be a counter"], warnings=[])
    with server(lambda *_: reply) as url, Source(url) as source:
        assert source.vector("up", 1762000000) == [({"uid": "u"}, 1.0)]


def test_the_token_is_read_anew_for_every_question(tmp_path: Path) -> None:
    token = tmp_path / "token"
    seen = []

    def remember(_path: str, _params: Params, authorization: str) -> Reply:
        seen.append(authorization)
        return vector()

    with server(remember) as url, Source(f"{url}/", access=Access(token_file=token)) as source:
        for text in ("one\n", "two"):
            token.write_text(text)
            source.vector("up", 1762000000)
    assert seen == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\xff\xfe", "tökén".encode(), b"two\nlines"],
    ids=["missing", "empty", "no text", "not ASCII", "two lines"],
)
def test_a_bad_token_file_is_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with (
        server(lambda *_: vector()) as url,
        Source(url, access=Access(token_file=token)) as source,
        pytest.raises(SourceRefused, match="the token for Prometheus") as caught,
    ):
        source.vector("up", 1762000000)
    assert str(token) in caught.value.message
    assert "ACCOUNTING_PROMETHEUS__TOKEN_FILE" in caught.value.cure
    assert "two" not in caught.value.message


PHASES = [
    ("1: running", [(10, 1), (40, 1)], (10.0, 40.0, 40.0)),
    ("2: pending, then running", [(10, 0), (40, 1), (70.5, 1)], (40.0, 70.5, 70.5)),
    ("3: it stopped", [(10, 1), (40, 0)], (10.0, 10.0, 40.0)),
    ("4: it never ran", [(10, 0), (40, 0)], (None, None, 40.0)),
    ("5: one sample", [(10.25, 1)], (10.25, 10.25, 10.25)),
]


@pytest.mark.parametrize(("case", "points", "times"), PHASES, ids=[c[0] for c in PHASES])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_times_that_matter_are_found_in_the_samples_text(
    case: str,
    points: list[tuple[float, int]],
    times: tuple[float | None, float | None, float],
    separators: tuple[str, str],
) -> None:
    text = json.dumps([[at, str(value)] for at, value in points], separators=separators)
    assert running_times(text.encode()) == times, case
