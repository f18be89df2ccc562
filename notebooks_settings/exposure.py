"""Which files everybody on a machine may read: no place for a secret."""

import os
import stat

_OTHERS = stat.S_IROTH | stat.S_IWOTH


def is_open(status: os.stat_result) -> bool:
    """Whether everybody on this machine may read or write a file.

    Its group may: so Kubernetes mounts a secret for a pod that is not root (``fsGroup``).
    """
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & _OTHERS)
