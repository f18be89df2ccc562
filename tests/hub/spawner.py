"""A spawner for tests of logins: a small web server as a notebook, tokens in a file."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from os import environ
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Notebook(BaseHTTPRequestHandler):
    """Answers whatever it is asked, as a notebook server that is up."""

    def do_GET(self) -> None:
        body = b'{"version": "0"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    url = urlsplit(environ["JUPYTERHUB_SERVICE_URL"])
    HTTPServer((url.hostname or "127.0.0.1", url.port or 0), Notebook).serve_forever()
else:
    from traitlets import Unicode

    from tests.hub.keptport import KeptPortSpawner

    class TokenSpawner(KeptPortSpawner):
        """Writes the tokens that it is given to `tokens_folder/USER_ID`, its own beside it."""

        tokens_folder = Unicode().tag(config=True)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.cmd = [sys.executable, __file__]

        async def start(self) -> Any:
            self._note(f"{self.user.id}-{self.name}-server", self.api_token)
            return await super().start()

        async def set_tokens(self, access_token: str, id_token: str) -> None:
            if self.user.name == "unlucky":
                raise OSError("no place for tokens")
            self._note(str(self.user.id), f"{access_token}\n{id_token}")

        def _note(self, name: str, text: str) -> None:
            (Path(self.tokens_folder) / name).write_text(text, encoding="utf-8")
