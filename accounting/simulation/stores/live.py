"""The cluster's scrape targets as HTTP servers, and the configuration that scrapes them."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from accounting.simulation.exporters.emitters import Emitter
from accounting.simulation.exporters.exposition import CONTENT_TYPE, expose
from accounting.simulation.world.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Targets:
    """Served targets: `address` is host:port, `paths` has the metrics path of every emitter."""

    cluster: Cluster
    address: str
    paths: tuple[tuple[Emitter, str], ...]
    clock: Callable[[], float]
    """The simulated present, in epoch seconds."""

    def scrape_config(self, interval_seconds: float | None = None) -> str:
        """A whole Prometheus configuration (JSON, so YAML) for the targets still to speak."""
        seconds = interval_seconds or self.cluster.interval_seconds
        interval = f"{round(seconds * 1000)}ms"
        now = self.clock()
        jobs = [
            self._job(emitter, path, interval)
            for emitter, path in self.paths
            if any(until > now for _, until in emitter.spans)
        ]
        return json.dumps(
            {"global": {"scrape_interval": interval}, "scrape_configs": jobs}, indent=1
        )

    def _job(self, emitter: Emitter, path: str, interval: str) -> dict[str, object]:
        """One target a job, as every target has a path of its own; `job` is set as a label."""
        honor = emitter.kind != "kube-state-metrics" or not self.cluster.features.honor_labels_off
        return {
            "job_name": f"{emitter.kind} {emitter.instance}",
            "metrics_path": path,
            "honor_labels": honor,
            "scrape_timeout": interval,
            "static_configs": [
                {
                    "targets": [self.address],
                    "labels": {
                        name: value
                        for name, value in emitter.target_labels(honor=honor)
                        if name != "metrics_path"
                    },
                }
            ],
            "relabel_configs": self._relabelling(emitter),
        }

    def _relabelling(self, emitter: Emitter) -> list[dict[str, str]]:
        """`metrics_path` as the kubelet's job has it: a label, whatever path is really asked."""
        if emitter.kind != "cadvisor":
            return []
        return [{"target_label": "metrics_path", "replacement": "/metrics/cadvisor"}]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what broke, unless a store that was stopped did not hear the answer out."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serve_targets(cluster: Cluster, *, offset: timedelta = timedelta()) -> Iterator[Targets]:
    """Serve every emitter on a free loopback port while the `with` lasts.

    Each answers as the simulated present has it, which is the wall clock plus `offset`; outside its
    hours of speaking it answers 503.
    """

    def clock() -> float:
        return time.time() + offset.total_seconds()

    paths = tuple((emitter, _path(emitter)) for emitter in cluster.emitters)
    handler = _handler(cluster, {path: emitter for emitter, path in paths}, clock)
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, name="simulated targets", daemon=True)
    thread.start()
    try:
        yield Targets(cluster, f"127.0.0.1:{server.server_address[1]}", paths, clock)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _path(emitter: Emitter) -> str:
    if emitter.kind == "cadvisor":
        return f"/nodes/{emitter.node}/metrics/cadvisor"
    return f"/{emitter.kind}/{emitter.instance.replace(':', '-')}/metrics"


def _handler(
    cluster: Cluster, emitters: dict[str, Emitter], clock: Callable[[], float]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            emitter = emitters.get(self.path)
            now = clock()
            if emitter is None:
                self._answer(HTTPStatus.NOT_FOUND, "no such target\n")
            elif not emitter.speaks_at(now):
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "silent\n")
            else:
                self._answer(HTTPStatus.OK, expose(cluster, emitter, now))

        def _answer(self, status: HTTPStatus, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Keep the terminal quiet: a scrape is no news."""

    return Handler
