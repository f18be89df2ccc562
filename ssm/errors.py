"""What can go wrong between a message body and the broker; the type decides the next step.

    SsmError                    message and cure, both written for the operator
    ├── CertificateError        the host's or the receiver's certificate or key cannot be used:
    │                           nothing was sent, stop this destination until it is replaced
    ├── SigningError            the signature or encryption could not be made, or our own
    │   │                       signature does not verify: nothing was sent, stop
    │   └── BodyError           this body cannot be sent by anybody: set this message aside
    └── TransportError          signed, but not taken over by the destination
        ├── Unavailable         retry the same message later, with back-off
        │   ├── SpoolError      the spool directory cannot be written (disk full, permissions)
        │   └── TokenExpired    401 again right after a fresh login: the broker accepts the
        │                       certificate but not the token it gave for it
        ├── Refused             refused for good: stop this destination, fix what the cure names
        │   └── Rejected        this message is refused, not its sender: set it aside
        └── TooLarge            split the message and send the parts

Texts never hold a key, a token or a message body.
"""


class SsmError(Exception):
    """Base of all errors of this package.

    Args:
        message: what happened, and where.
        cure: what the operator does next.
    """

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message, cure)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}. {self.cure}"


class CertificateError(SsmError):
    """A certificate or key file is missing, unreadable, unsafe, expired or does not match."""


class SigningError(SsmError):
    """A message could not be encoded, signed, verified or encrypted."""


class BodyError(SigningError):
    """The body has no encoding; another message may well have one."""


class TransportError(SsmError):
    """The destination did not take the message over."""


class Unavailable(TransportError):
    """The destination did not answer, or answered that it cannot now: retry with back-off.

    The message may have been stored all the same (an answer can be lost), so the retry must be
    the same body, and no newer message may overtake it.
    """


class SpoolError(Unavailable):
    """The spool directory cannot be written."""


class TokenExpired(Unavailable):
    """The broker refuses the token even after one fresh login: retry with back-off."""


class Refused(TransportError):
    """The destination will never take this: not registered, not allowed, wrong topic."""


class Rejected(Refused):
    """The destination will never take this message, whoever sends it; others it may take."""


class TooLarge(TransportError):
    """The message is above a limit: split it."""
