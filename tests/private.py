"""Files that only their owner may read, as the service wants its secrets."""

from pathlib import Path


def secret(file: Path, text: str) -> Path:
    """Put a secret into a file, which is made for its owner alone."""
    file.touch(mode=0o600)
    file.write_text(text)
    return file
