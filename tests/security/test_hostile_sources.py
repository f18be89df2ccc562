"""Whatever answers in Prometheus' place can take neither all memory nor all time."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from accounting.config.measuring import PrometheusSettings
from accounting.errors import (
    SourceError,
    SourceGarbled,
    SourceTooLarge,
    SourceTooSlow,
    SourceUnavailable,
)
from accounting.measure.source.prometheus import MOST_BYTES, Source
from accounting.model.jobs import Ending
from accounting.model.time import Window
from tests.api.serving import Serve

MB = 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BEGUN = b'{"status":"success","data":{"resultType":"vector","result":['
ROW = b'{"metric":{"uid":"0b6ff5b7-7b0c-4c53-9a9e-6f3f7d3a4f10"},"value":[1,"1"]},'

Talk = Callable[[socket.socket], None]


@contextmanager
def answering(talk: Talk) -> Iterator[str]:
    """A server that takes each request and then says what it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        over = threading.Event()

        def answer(one: socket.socket) -> None:
            with one, suppress(OSError):
                one.recv(65536)
                talk(one)
                one.shutdown(socket.SHUT_WR)
                while one.recv(65536):
                    pass

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    one, _ = listener.accept()
                    one.settimeout(30)
                    threading.Thread(target=answer, args=(one,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def dripping(first: bytes) -> Talk:
    def talk(one: socket.socket) -> None:
        one.sendall(first)
        for _ in range(300):
            time.sleep(0.1)
            one.sendall(b"x")

    return talk


def endless(one: socket.socket) -> None:
    one.sendall(OK + b"\r\n" + BEGUN)
    for _ in range(1024 * MB // (len(ROW) * 1000)):
        one.sendall(ROW * 1000)


def bomb(one: socket.socket) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    one.sendall(OK + b"Content-Encoding: gzip\r\n\r\n")
    for _ in range(2048):
        one.sendall(packer.compress(b" " * MB))
    one.sendall(packer.flush())


def nested_bomb(one: socket.socket) -> None:
    packed = gzip.compress(gzip.compress(b" " * MB))
    one.sendall(OK + b"Content-Encoding: gzip, gzip\r\n\r\n" + packed)


def whole(body: bytes) -> Talk:
    def talk(one: socket.socket) -> None:
        # One answer each: else the client's next request may meet the end of this connection.
        head = OK + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        one.sendall(head + body)

    return talk


def dripping_bomb(one: socket.socket) -> None:
    """Each piece is small, and becomes a thousand times as much."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    one.sendall(OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2048):
        packed = packer.compress(b" " * MB) + packer.flush(zlib.Z_SYNC_FLUSH)
        for at in range(0, len(packed), 100):
            piece = packed[at : at + 100]
            one.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))


def endless_head(one: socket.socket) -> None:
    one.sendall(OK)
    for n in range(1_000_000):
        one.sendall(b"X-%d: y\r\n" % n)


def endless_hints(one: socket.socket) -> None:
    for _ in range(1_000_000):
        one.sendall(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n")


def unknown_packing(kind: bytes) -> Talk:
    def talk(one: socket.socket) -> None:
        one.sendall(OK + b"Content-Encoding: " + kind + b"\r\nContent-Length: 9\r\n\r\n" + b"x" * 9)

    return talk


def said_length(length: bytes) -> Talk:
    body = BEGUN + b"]}}"
    return lambda one: one.sendall(OK + b"Content-Length: " + length + b"\r\n\r\n" + body)


def round_and_round(one: socket.socket) -> None:
    one.sendall(b"HTTP/1.1 302 Found\r\nLocation: /api/v1/query?again\r\nContent-Length: 0\r\n\r\n")


LABELS = BEGUN + (b'{"metric":{"uid":"%s"},"value":[0,"0"]},' % (b"x" * 1_000_000)) * 50
MANY = BEGUN + b'{"metric":{},"value":[0,"0"]},' * 1_000_001
DEEP = b'{"status":"success","data":{"resultType":"vector","more":' + b"[" * 100_000


@pytest.mark.parametrize(
    ("talk", "error"),
    [
        (dripping(OK + b"\r\n" + BEGUN), SourceTooSlow),
        (dripping(OK + b"X-Drip: "), SourceTooSlow),
        (dripping(b"HTTP/1.1 "), SourceTooSlow),
        (dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n"), SourceError),
        (endless, SourceTooLarge),
        (bomb, SourceTooLarge),
        (nested_bomb, SourceGarbled),
        (whole(MANY), SourceTooLarge),
        (dripping_bomb, SourceTooLarge),
        (endless_head, SourceError),
        (endless_hints, SourceError),
        (unknown_packing(b"br"), SourceError),
        (unknown_packing(b"zstd"), SourceError),
        (said_length(b"9999"), SourceError),
        (said_length(b"3"), SourceError),
        (said_length(b"-1"), SourceError),
        (said_length(b"1, 2"), SourceError),
        (round_and_round, SourceError),
        (whole(LABELS), SourceTooLarge),
        (whole(DEEP), SourceGarbled),
    ],
    ids=[
        *("body", "head", "status", "chunk", "endless", "gzip", "gzip-twice", "series"),
        *("gzip-drips", "head-lines", "hints", "brotli", "zstd", "too-long", "too-short"),
        *("negative", "two-lengths", "redirects", "labels", "deep"),
    ],
)
def test_an_answer_without_end_is_given_up_in_time_and_space(
    talk: Talk, error: type[SourceError]
) -> None:
    process = psutil.Process()
    # What ends for another reason than the time must not run out of it on a busy machine.
    timeout = 60 if error in {SourceTooLarge, SourceGarbled} else 1
    with answering(talk) as url, Source(url, timeout_seconds=timeout, most_bytes=40 * MB) as source:
        before, begun = process.memory_info().rss, time.monotonic()
        with pytest.raises(error) as told:
            source.vector("up", 0)
        assert time.monotonic() - begun < 15 + 2 * timeout
        assert process.memory_info().rss - before < 200 * MB
        assert url in told.value.message
        assert len(str(told.value)) < 1000


def test_hints_before_an_answer_are_not_taken_for_it() -> None:
    """Else each question on that connection would get the answer to the one before."""

    def hinted(one: socket.socket) -> None:
        one.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2)
        whole(BEGUN + b"]}}")(one)

    with answering(hinted) as url, Source(url) as source:
        assert source.vector("up", 0) == []


TIMES = ["-1e12", "1e18", "1e308", "1e999", "1795000009", '"NaN"', '"Inf"']
SERIES = [f'[[{time},"1"]]' for time in TIMES]
SERIES += ["[]", "[[]]", '[[1,"1",2]]', '"x"', "{}", "null", "[1]", '[["x","1"]]', "[[1]", "[[,]]"]


@pytest.mark.parametrize("series", SERIES)
def test_samples_of_times_that_nobody_asked_for_are_refused(series: str) -> None:
    """They would stay in the ledger: as a start in 1970, or an end that never comes."""
    row = f'{{"metric":{{"uid":"a"}},"values":{series}}}]}}}}'.encode()
    at, window = 1_795_000_000, Window(1_794_900_000, 1_795_000_000)
    with answering(whole(BEGUN + row)) as url, Source(url) as source:
        if series != "[]":  # a series without samples says nothing
            with pytest.raises(SourceGarbled):
                source.raw("x[1h]", at)
            with pytest.raises(SourceGarbled):
                source.first_time("x", window, 60)
        with pytest.raises(SourceGarbled):
            list(source.sightings("x[1h]", at))


LOCATIONS = ["file:///etc/passwd", "//evil.example.org/", "http://127.0.0.1:99999/", "http://[/"]
LOCATIONS += [
    "http://somebody:word@evil.example.org/api/v1/query",
    "javascript:x",
    "\x01",
    "mailto:x",
]


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_leads_to_no_file_nobody_else_and_out_of_no_handler(
    status: int, location: str
) -> None:
    said = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    with answering(lambda one: one.sendall(said.encode())) as url, Source(url) as source:
        with pytest.raises(SourceError) as told:
            source.vector("up", 0)
        assert "word" not in str(told.value)


def test_too_slow_is_a_kind_of_unavailable_and_too_large_is_not() -> None:
    assert issubclass(SourceTooSlow, SourceUnavailable)  # the poll goes on later
    assert not issubclass(SourceTooLarge, SourceUnavailable)  # the poll halves its window


def test_the_default_fits_100_000_pods() -> None:
    labels = {
        "id": f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{'0' * 36}.slice",
        "namespace": "jupyterhub",
        "pod": "jupyter-" + "n" * 60,
        "container": "notebook",
        "image": "registry.example.org/notebooks/datascience-notebook@sha256:" + "0" * 64,
        "interface": "eth0",
        "node": "worker-000.example.org",
        "uid": "0b6ff5b7-7b0c-4c53-9a9e-6f3f7d3a4f10",
    }
    row = json.dumps({"metric": labels, "value": [1762000000.5, "123456.789"]}).encode() + b","
    body = BEGUN + row * 300_000 + row[:-1] + b"]}}"
    assert PrometheusSettings().most_bytes == MOST_BYTES > len(body)
    with answering(whole(body)) as url, Source(url, timeout_seconds=60) as source:
        assert len(source.usage("x", 0)) == 300_001


def test_a_poll_of_a_source_that_drips_ends_and_lets_the_next_one_begin(serve: Serve) -> None:
    with answering(dripping(OK + b"\r\n" + BEGUN)) as url:
        running = serve(PROMETHEUS__URL=url, PROMETHEUS__TIMEOUT="1s")
        for _ in range(2):
            assert running.service.jobs.poll().ending is Ending.UNAVAILABLE
