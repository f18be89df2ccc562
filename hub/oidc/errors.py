"""What can be wrong with an identity provider or its tokens; the type decides what follows.

::

    OIDCError
    ├── Unavailable     no answer, or none of use: nothing is lost, ask again later
    ├── Refused         the provider says no: the user must log in again
    ├── InvalidToken    a token is not what it must be: refuse whoever showed it
    ├── NothingRevoked  no fresh token was to be had, so the old one was left alone
    └── NotRevoked      there is a fresh token, and the old one works until it expires
"""


class OIDCError(Exception):
    """The message is one line for the log, without tokens, secrets or user names."""


class Unavailable(OIDCError):
    """The provider did not answer, or not as a provider does.

    Args:
        message: What happened and where.
        retry_seconds: When it makes sense to ask again.
    """

    def __init__(self, message: str, retry_seconds: float = 0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class Refused(OIDCError):
    """The provider answered and said no.

    Args:
        message: What was refused, where.
        error: OAuth's word for it (RFC 6749, 5.2), as `invalid_grant`; empty without one.
    """

    def __init__(self, message: str, error: str = "") -> None:
        super().__init__(message)
        self.error = error


class InvalidToken(OIDCError):
    """A token's signature, issuer, audience, time or state is wrong; says which."""


class NothingRevoked(OIDCError):
    """A token was not replaced, and works as before."""


class NotRevoked(OIDCError):
    """A token was replaced, but the provider did not revoke it."""
