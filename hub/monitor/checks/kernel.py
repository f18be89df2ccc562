"""Runs one cell in a kernel of a notebook server, as a browser does."""

import json
import uuid
from typing import Any

import httpx
from aiohttp import ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType

# A server that is asked to close the connection, and does not answer, is waited for no longer.
_CLOSING = ClientWSTimeout(ws_close=5.0)


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
        aiohttp.ClientError: the kernel's connection was refused, or lost.
    """
    wanted = {"name": kernel} if kernel else {}
    made = await http.post(f"{server_url}api/kernels", json=wanted)
    kernel_url = f"{server_url}api/kernels/{made.raise_for_status().json()['id']}"
    try:
        channels = f"ws{kernel_url.removeprefix('http')}/channels?session_id={uuid.uuid4().hex}"
        headers = {"Authorization": http.headers["Authorization"]}
        async with (
            ClientSession(headers=headers) as session,
            session.ws_connect(channels, timeout=_CLOSING) as socket,
        ):
            return await _answer(socket, code)
    finally:
        await http.delete(kernel_url)


async def _answer(socket: ClientWebSocketResponse, code: str) -> str:
    identifier = uuid.uuid4().hex
    await socket.send_json(_execute_request(identifier, code))
    written: list[str] = []
    async for received in socket:
        if received.type is WSMsgType.ERROR:
            break
        if received.type is not WSMsgType.TEXT:  # with buffers: nothing that a cell writes
            continue
        message = json.loads(received.data)
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
    header = {
        "msg_id": identifier,
        "msg_type": "execute_request",
        "username": "",
        "session": uuid.uuid4().hex,
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }
