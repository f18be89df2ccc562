"""What the Kubernetes API answers when it refuses: a Status object."""

from typing import Any

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Failure(Exception):
    """A refusal: its HTTP status, the reason's word and the message for people."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "Unknown")

    def status(self) -> dict[str, Any]:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


def not_found(plural: str, name: str) -> Failure:
    return Failure(404, f'{plural} "{name}" not found')


def already_exists(plural: str, name: str) -> Failure:
    return Failure(409, f'{plural} "{name}" already exists', "AlreadyExists")


def conflict(plural: str, name: str) -> Failure:
    return Failure(
        409,
        f'Operation cannot be fulfilled on {plural} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
    )


def invalid(kind: str, name: str, problem: str) -> Failure:
    return Failure(422, f'{kind} "{name}" is invalid: {problem}')
