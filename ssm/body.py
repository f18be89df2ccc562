"""The body of a message, as text and as bytes."""

from ssm.errors import BodyError


def encode_body(body: str) -> bytes:
    """The body as UTF-8.

    Raises:
        BodyError: it holds a lone surrogate, which has no encoding.
    """
    try:
        return body.encode()
    except UnicodeEncodeError as exc:
        # The exception would carry the whole body into tracebacks and logs.
        exc.object = ""
        exc.args = (exc.encoding, "", exc.start, exc.end, exc.reason)
        raise BodyError(
            "The message body holds a lone surrogate, which no encoding can carry",
            "Correct the value in the record.",
        ) from exc
