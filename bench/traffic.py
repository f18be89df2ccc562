"""The queries that a poll sends: recorded on their way, and sent again with curl."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from bench.process import Cost, run

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "host", "content-length"})


@dataclass(frozen=True)
class Query:
    """One request: the path behind the server's base, and the form it posts."""

    path: str
    form: bytes


@contextmanager
def recorder(url: str) -> Iterator[tuple[str, list[Query]]]:
    """A proxy in front of the query API at ``url``: (its own base URL, what passed through)."""
    seen: list[Query] = []
    with httpx.Client(base_url=url, timeout=600) as client:

        class Handler(BaseHTTPRequestHandler):
            """Passes a POST on as it is and the answer's bytes back, still compressed."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Note the form, then ask the server behind."""
                form = self.rfile.read(int(self.headers["Content-Length"]))
                seen.append(Query(self.path, form))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
                request = client.build_request("POST", self.path, content=form, headers=headers)
                answer = client.send(request, stream=True)
                body = b"".join(answer.iter_raw())
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class Replay:
    """The same queries again, as one curl command.

    Args:
        url: the server's base.
        queries: what to send, in order.
        folder: for the forms and curl's configuration.
    """

    def __init__(self, url: str, queries: Sequence[Query], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "curl.conf"
        entries = []
        for number, query in enumerate(queries):
            form = folder / f"{number}.form"
            form.write_bytes(query.form)
            entries.append(
                f'url = "{url}{query.path}"\ndata-binary = "@{form}"\n'
                "compressed\nfail\nsilent\nshow-error\noutput = /dev/null\nwrite-out = "
                '"%{size_download} %{time_total} %{http_code}\\n"\n'
            )
        self._config.write_text("next\n".join(entries))

    def run(self, at_once: int = 1) -> Cost:
        """Send them all; with one connection, or ``at_once`` of them side by side."""
        command = ["curl", "--config", str(self._config)]
        if at_once > 1:
            command += ["--no-progress-meter", "--parallel", "--parallel-immediate"]
            command += ["--parallel-max", str(at_once)]
        return run(command)

    def transfers(self) -> list[tuple[int, float]]:
        """(bytes as they travelled, seconds) of each query, sent one after another."""
        output = self.run().output
        return [(int(size), float(time)) for size, time, _ in map(str.split, output.splitlines())]
