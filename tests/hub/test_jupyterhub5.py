"""Tests that run hub/ in their own process run on JupyterHub 5.5, too, in another process."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.hub.rig import HUB_5, ROOT

HERE = Path(__file__).parent
_ONCE = (Path(__file__).name, "test_docs_hub.py")
_ON_BOTH = re.compile(r"\b(jupyterhub: str|site: Site)\b")
"""In the text of tests that start a hub themselves, on either JupyterHub."""

_CHILD = """
import sys
sys.path += {ours!r}  # after JupyterHub 5.5 and what it needs: pytest, and what tests use
import jupyterhub, pytest
assert jupyterhub.version_info[:2] == (5, 5), jupyterhub.__version__
sys.exit(pytest.main({arguments!r}))
"""


def test_the_tests_in_one_process_pass_on_jupyterhub_5_too() -> None:
    assert version("jupyterhub").startswith("6.")
    texts = {path: path.read_text("utf-8") for path in sorted(HERE.glob("test_*.py"))}
    files = [
        str(path.relative_to(ROOT))
        for path, text in texts.items()
        if path.name not in _ONCE and not _ON_BOTH.search(text)
    ]
    assert len(files) > 10
    ours = [path for path in sys.path if path.endswith("site-packages")]
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    child = subprocess.run(
        [str(HUB_5), "-c", _CHILD.format(ours=ours, arguments=arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert child.returncode == 0, child.stdout[-8000:] + child.stderr[-4000:]
    assert " passed" in child.stdout
