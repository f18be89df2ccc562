"""The spool: a directory queue from which the reference `ssmsend` takes messages to sign and send.

The format is that of `dirq.QueueSimple`, the class with which the reference sender (ssm2.py of
github.com/apel/ssm) opens its outgoing path: one file per element, holding the plain body.
"""

import os
import tempfile
from pathlib import Path

from dirq.QueueSimple import QueueSimple

from ssm.body import encode_body
from ssm.errors import SpoolError


class DirqTransport:
    """Adds plain bodies to a directory queue; safe to use from several threads and processes.

    Args:
        path: the queue's directory, made when first used. Files get the process's umask.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, body: str) -> str:
        """Add one plain (unsigned) body, on disk when this returns.

        Returns:
            The element's name, `<8 hex digits>/<14 hex digits>`, by which `ssmsend` logs it.

        Raises:
            SpoolError: the directory cannot be made or written, or the disk is full.
            BodyError: the text has no encoding.
        """
        data = encode_body(body)
        try:
            # Bytes, because for text dirq opens files in a way that can overwrite another's.
            name: str = QueueSimple(str(self._path)).add(data)
            self._flush(name)
        except OSError as exc:
            raise self._error(exc) from exc
        return name

    def check(self) -> None:
        """Make the directory if needed and write a nameless file there.

        Raises:
            SpoolError: that is not possible.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._path) as file:
                file.write(b"\n")
        except OSError as exc:
            raise self._error(exc) from exc

    def _error(self, exc: OSError) -> SpoolError:
        # dirq raises some errors anew with a text of its own and no number.
        reason = exc.strerror or type(exc).__name__
        return SpoolError(
            f"The spool {self._path} cannot be written: {reason}",
            "Free disk space, or let the user that this service runs as write there; the "
            "message is kept and tried again.",
        )

    def _flush(self, name: str) -> None:
        """Have the element survive a power failure; dirq itself does not ask for that."""
        element = self._path / name
        for path in (element, element.parent, self._path):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # taken by a consumer already: even better
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
