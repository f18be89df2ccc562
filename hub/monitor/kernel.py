"""Runs one cell in a kernel of a notebook server, as a browser does."""

import json
import uuid
from typing import Any

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect


class CellFailed(Exception):
    """The kernel died, or answered with an error."""


async def run_cell(http: httpx.AsyncClient, server_url: str, kernel: str, code: str) -> str:
    """Start a kernel, run code, and end the kernel.

    Args:
        http: bears the token.
        server_url: the server's address with a slash at its end.
        kernel: its name; empty for the default.
        code: what is run.

    Returns:
        What it wrote, without white space around it.

    Raises:
        CellFailed: it did not run to its end.
        httpx.HTTPError: the server did not answer, or refused.
        OSError: the connection was lost.
    """
    wanted = {"name": kernel} if kernel else {}
    made = await http.post(f"{server_url}api/kernels", json=wanted)
    kernel_url = f"{server_url}api/kernels/{made.raise_for_status().json()['id']}"
    try:
        request = HTTPRequest(
            f"ws{kernel_url.removeprefix('http')}/channels?session_id={uuid.uuid4().hex}",
            headers={"Authorization": http.headers["Authorization"]},
        )
        socket = await websocket_connect(request)
        try:
            return await _answer(socket, code)
        finally:
            socket.close()
    finally:
        await http.delete(kernel_url)


async def _answer(socket: WebSocketClientConnection, code: str) -> str:
    identifier = uuid.uuid4().hex
    await socket.write_message(json.dumps(_execute_request(identifier, code)))
    written: list[str] = []
    while (received := await socket.read_message()) is not None:
        message = json.loads(received)
        if message.get("parent_header", {}).get("msg_id") != identifier:
            continue
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            written.append(content["text"])
        elif kind == "execute_result":
            written.append(content["data"].get("text/plain", ""))
        elif kind == "error":
            raise CellFailed(f"the cell ended with {content.get('ename', 'an error')}")
        elif kind == "status" and content["execution_state"] == "idle":
            return "".join(written).strip()
    raise CellFailed("the kernel's connection was closed")


def _execute_request(identifier: str, code: str) -> dict[str, Any]:
    header = {"msg_id": identifier, "msg_type": "execute_request", "username": "",
              "session": uuid.uuid4().hex, "version": "5.3"}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {},
               "allow_stdin": False, "stop_on_error": True}  # fmt: skip
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content,
            "channel": "shell", "buffers": []}  # fmt: skip
