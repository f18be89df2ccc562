"""HEAD: the same answer as GET, without its body (RFC 9110, 9.3.2)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accounting.guard.gate import LOGIN


class Head:
    """Has HEAD answered as GET, but where reading does something: a login's address works once.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or _is_login(scope):
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def receiving() -> Message:
            # A file is not written for nobody: its writer ends when its reader has gone.
            return {"type": "http.disconnect"} if has_begun else await receive()

        async def sending(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        # A copy: the server, too, looks at the method, to send no body.
        read = {**scope, "method": "GET"}
        await self.app(read, receiving, sending)
        if "route" in read:
            scope["route"] = read["route"]


def _is_login(scope: Scope) -> bool:
    return str(scope["path"]).removeprefix(scope.get("root_path", "")) in LOGIN
