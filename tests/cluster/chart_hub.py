"""The hub as Zero to JupyterHub's chart configures it: its own files, out of the rendered umbrella.

The chart's configuration reads what Kubernetes mounts below /usr/local/etc/jupyterhub. The same
files lie in a folder here. Only that path changes in their text, and the HTTP client, because
pycurl is in no lock of this project.
"""

import base64
import json
from pathlib import Path
from typing import Any

from tests.chart import helm
from tests.chart.umbrella import CHART, assembled
from tests.hub.checkin import TRAINING, VO

_MOUNTS = "/usr/local/etc/jupyterhub"
_CURL = "tornado.curl_httpclient.CurlAsyncHTTPClient"
_SIMPLE = "tornado.simple_httpclient.SimpleAsyncHTTPClient"

_SIZES = {"small": (1, "2G"), "large": (8, "32G"), "tiny": (0.1, "64M")}
_VALUES: dict[str, Any] = {
    "hub": {
        "allowNamedServers": True,
        "config": {
            "EGICheckinAuthenticator": {
                "allowed_groups": [VO, TRAINING],
                "primary_group_priority": [VO, TRAINING],
                "allow_all": False,
            }
        },
    },
    "singleuser": {
        "image": {"name": "example.org/lab", "tag": "1"},
        "cpu": {"guarantee": None, "limit": None},
        "memory": {"guarantee": None, "limit": None},
        "profileList": [
            {
                "display_name": name.title(),
                "slug": name,
                **({"vo_claims": ["vo.example.org"]} if name == "large" else {}),
                "kubespawner_override": {"cpu_guarantee": cpu, "mem_guarantee": memory},
            }
            for name, (cpu, memory) in _SIZES.items()
        ],
    },
    # Neither runs here: the cluster's own scheduler does, and nothing is culled meanwhile.
    "scheduling": {"userScheduler": {"enabled": False}},
    "cull": {"enabled": False},
}
"""What an operator of this site would write, beside ci/demo-values.yaml."""

_TEXT = """
import os
os.environ.update({ports!r})
load_subconfig({file!r})
c.JupyterHub.authenticator_class = "hub.authenticator.EGICheckinAuthenticator"
c.JupyterHub.spawner_class = "hub.spawner.EGISpawner"
c.JupyterHub.hub_connect_url = ""
c.ConfigurableHTTPProxy.should_start = True
"""
"""Loads it, then what differs because the hub is no pod, and its package not installed."""


def render(folder: Path, namespace: str) -> list[helm.Manifest]:
    """The whole umbrella with the values of this site."""
    values = folder / "values.yaml"
    values.write_text(json.dumps({"jupyterhub": _VALUES}))
    demo = CHART / "ci" / "demo-values.yaml"
    return helm.render(assembled(folder), demo, values, namespace=namespace)


def configuration(made: list[helm.Manifest], folder: Path) -> str:
    """Text of a jupyterhub_config.py that loads the chart's own, from files below `folder`."""
    found = helm.find(made, "ConfigMap", "hub")["data"]
    config = _written(found, folder / "config")
    secret = helm.find(made, "Secret", "hub")["data"]
    _written(
        {key: base64.b64decode(value).decode() for key, value in secret.items()}, folder / "secret"
    )
    for name in ("jupyterhub_config.py", "z2jh.py"):
        text = found[name].replace(_MOUNTS, str(folder)).replace(_CURL, _SIMPLE)
        (config / name).write_text(text)
    names = (found[part].upper().replace("-", "_") for part in ("hub", "proxy-api"))
    ports = {f"{name}_SERVICE_PORT": "8081" for name in names}
    return _TEXT.format(ports=ports, file=str(config / "jupyterhub_config.py"))


def _written(files: dict[str, str], folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def rules(made: list[helm.Manifest]) -> list[dict[str, Any]]:
    """What the charts let the hub's service account do in its namespace."""
    account = helm.find(made, "Deployment", "hub")["spec"]["template"]["spec"]["serviceAccountName"]
    roles = {
        binding["roleRef"]["name"]
        for binding in made
        if binding["kind"] == "RoleBinding"
        and account in {subject["name"] for subject in binding["subjects"]}
    }
    return [
        rule
        for role in made
        if role["kind"] == "Role" and role["metadata"]["name"] in roles
        for rule in role["rules"]
    ]
