"""The restic repository, and how long it keeps a snapshot."""
