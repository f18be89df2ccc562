"""What the metrics' engine tells of itself."""

import re
from contextlib import suppress
from typing import Any

from accounting.config import Settings
from accounting.doctor.finding import Finding, State
from accounting.wiring.source import access_of
from notebooks_settings.proxies import proxy_of

_DAY = 86400
_DETAILS_SECONDS = 10.0
_OK = 200

_RETENTION = re.compile(r"(\d+)([smhdwy])")
_RETENTION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": _DAY, "w": 7 * _DAY, "y": 365 * _DAY}


class Details:
    """What engines tell of themselves beside the query API; nothing, if they do not.

    Read with prometheus-api-client, whose answers are whole JSON documents. Imported here, as its
    import takes as long as all of the command line.
    """

    def __init__(self, settings: Settings) -> None:
        import requests  # noqa: PLC0415 - slow to load, and only needed here
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415 - slow to load, and only needed here
        from urllib3.util.retry import Retry  # noqa: PLC0415 - slow to load, and only needed here

        prometheus = settings.prometheus
        self._url = prometheus.url
        self._session = requests.Session()
        self._session.verify = str(prometheus.ca_file) if prometheus.ca_file else True
        access = access_of(settings)
        self._session.trust_env = False
        if proxy := proxy_of(prometheus.url):
            self._session.proxies = {"http": proxy, "https": proxy}
        if access.client_cert:
            self._session.cert = (
                str(access.client_cert),
                str(access.client_key or access.client_cert),
            )
        self._session.params = dict(access.parameters)
        self._session.auth = access.signing.auth() if access.signing else None
        headers = access.shown_headers()
        self._session.headers.update(headers)
        self._client = PrometheusConnect(
            prometheus.url,
            headers=headers,
            session=self._session,
            timeout=_DETAILS_SECONDS,
            retry=Retry(0),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _status(self, page: str) -> dict[str, Any]:
        url = f"{self._url}/api/v1/status/{page}"
        with suppress(OSError, ValueError):  # requests' errors are OSErrors
            answer = self._session.get(url, timeout=_DETAILS_SECONDS)
            content = answer.json() if answer.status_code == _OK else {}
            data = content.get("data") if isinstance(content, dict) else None
            return data if isinstance(data, dict) else {}
        return {}

    def engine(self) -> Finding:
        """Which engine answers, and its version."""
        build = self._status("buildinfo")
        version = str(build.get("version", ""))
        if build.get("application"):
            name = str(build["application"])
        elif "goVersion" in build:
            name = "Prometheus"
        else:  # VictoriaMetrics says nothing there, or the version that it is compatible with
            name, version = "VictoriaMetrics or another engine with Prometheus' query API", ""
        return Finding("Prometheus", State.OK, f"{self._url} answers: {name} {version}".rstrip())

    def trouble(self, job: str) -> str:
        """Why targets of a job cannot be scraped, as text to append."""
        try:
            active = self._client.get_targets(state="active")["activeTargets"]
            down = [
                target["lastError"]
                for target in active
                if target["health"] == "down" and job.lower() in str(target).lower()
            ]
        except Exception:  # noqa: BLE001 - only helps; engines differ in what they answer
            return ""
        return f" ({len(down)} targets are down: {down[0][:240]})" if down else ""

    def retention_seconds(self) -> float | None:
        """How long samples are kept; None if it does not say, or if a size decides."""
        said = str(self._status("runtimeinfo").get("storageRetention", ""))
        length = said.partition(" or ")[0]
        parts = _RETENTION.findall(length)
        if not parts or "".join(n + unit for n, unit in parts) != length:
            return None
        return float(sum(int(n) * _RETENTION_UNITS[unit] for n, unit in parts))
