"""Names of EGI's earlier packages: they work where that is safe, or fail with what to do."""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from traitlets.config import Config

from hub.authenticator import (
    D4ScienceAuthenticator,
    EGICheckinAuthenticator,
    EOSCNodeAuthenticator,
)
from hub.migration.names import OLD_MODULES
from hub.spawner import EGISpawner
from hub.spawner.d4science import D4ScienceSpawner

LEGACY = Path(__file__).parents[2] / "legacy"


@pytest.fixture
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(LEGACY)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in OLD_MODULES]:
        del sys.modules[name]


@pytest.mark.usefixtures("_importable")
@pytest.mark.parametrize(
    ("module", "name", "now"),
    [
        ("egispawner.spawner", "EGISpawner", EGISpawner),
        ("egi_notebooks_hub.egispawner", "EGISpawner", EGISpawner),
        ("egi_notebooks_hub.egiauthenticator", "EGICheckinAuthenticator", EGICheckinAuthenticator),
        ("egi_notebooks_hub.egiauthenticator", "EOSCNodeAuthenticator", EOSCNodeAuthenticator),
        ("egi_notebooks_hub.d4science", "D4ScienceSpawner", D4ScienceSpawner),
    ],
)
def test_an_old_import_path_is_the_class_of_now(module: str, name: str, now: type) -> None:
    assert getattr(importlib.import_module(module), name) is now


@pytest.mark.usefixtures("_importable")
@pytest.mark.parametrize("module", ["egi_notebooks_hub.d4science", "d4scienceauthenticator"])
def test_settings_of_d4science_may_stand_under_the_old_name(module: str) -> None:
    old = importlib.import_module(module).D4ScienceOauthenticator
    assert issubclass(old, D4ScienceAuthenticator)
    made = old(config=Config({"D4ScienceOauthenticator": {"client_id": "the-portal"}}))
    assert made.client_id == "the-portal"


@pytest.mark.usefixtures("_importable")
@pytest.mark.parametrize(
    ("module", "cure"),
    [
        ("egi_notebooks_hub.onedata", r"docs/hub/additions\.py"),
        ("egi_notebooks_hub.welcome", r"docs/hub/pages\.py"),
        ("egi_notebooks_hub.services.api_wrapper", "python -m hub.services.wrapper"),
        ("egi_notebooks_hub.services.share_manager", "python -m hub.services.sharing"),
    ],
)
def test_what_has_another_form_says_which(module: str, cure: str) -> None:
    with pytest.raises(ImportError, match=cure):
        importlib.import_module(module)


@pytest.mark.parametrize(
    ("group", "name", "now"),
    [
        ("jupyterhub.authenticators", "egiauthenticator", EGICheckinAuthenticator),
        ("jupyterhub.authenticators", "eoscauthenticator", EOSCNodeAuthenticator),
        ("jupyterhub.spawners", "egispawner", EGISpawner),
    ],
)
def test_an_old_entry_point_is_the_class_of_now(group: str, name: str, now: type) -> None:
    (found,) = entry_points(group=group, name=name)
    assert found.load() is now
