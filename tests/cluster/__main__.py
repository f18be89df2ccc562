"""`make cluster`: a real Kubernetes for as long as this runs."""

import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.control_plane import run_cluster


def main() -> None:
    """Start, say how to reach it, and stop at Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        try:
            with run_cluster(Path(folder)) as cluster:
                sys.stdout.write(
                    f"Started in {time.monotonic() - begun:.0f} s. Ctrl-C stops it.\n"
                    f"export KUBECONFIG={cluster.kubeconfig}\n"
                )
                sys.stdout.flush()
                signal.pause()
        except KeyboardInterrupt:
            sys.stdout.write("Stopped.\n")


if __name__ == "__main__":
    main()
