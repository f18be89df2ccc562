import concurrent.futures
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from dirq.QueueSimple import QueueSimple

from ssm.errors import SigningError, SpoolError, Unavailable
from ssm.spool import DirqTransport

BODY = "APEL-cloud-message: v0.4\nVMUUID: 1\nSiteName: EXAMPLE\n%%\n"


def consume(path: Path) -> list[tuple[str, bytes]]:
    """What the reference sender does with its outgoing queue."""
    queue = QueueSimple(str(path))
    elements = []
    for name in queue:
        assert queue.lock(name)
        elements.append((name, queue.get(name)))
        queue.remove(name)
    queue.purge()
    return elements


def test_a_consumer_of_the_queue_reads_the_plain_bodies_in_order(tmp_path: Path) -> None:
    spool = DirqTransport(tmp_path / "new" / "outgoing")
    bodies = [BODY.replace("VMUUID: 1", f"VMUUID: {number}") for number in range(20)]
    names = [spool.add(body) for body in bodies]
    assert consume(tmp_path / "new" / "outgoing") == [
        (name, body.encode()) for name, body in zip(names, bodies, strict=True)
    ]
    spool.add(BODY)
    assert [body for _, body in consume(tmp_path / "new" / "outgoing")] == [BODY.encode()]


def test_several_threads_may_add_at_once(tmp_path: Path) -> None:
    spool = DirqTransport(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda n: spool.add(f"body {n}\n"), range(200)))
    stored = dict(consume(tmp_path))
    assert [stored[name] for name in names] == [b"body %d\n" % n for n in range(200)]


def test_a_path_that_is_no_directory_is_a_spool_error_to_retry(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for call in (
        lambda: DirqTransport(tmp_path / "file").add(BODY),
        DirqTransport(tmp_path / "file" / "below").check,
    ):
        with pytest.raises(SpoolError, match="cannot be written") as caught:
            call()
        assert isinstance(caught.value, Unavailable)
        assert str(tmp_path / "file") in caught.value.message
        assert BODY not in str(caught.value)


def test_a_directory_that_cannot_be_written_is_a_spool_error() -> None:
    for call in (
        lambda: DirqTransport(Path("/proc/spool")).add(BODY),
        DirqTransport(Path("/proc")).check,
    ):
        with pytest.raises(SpoolError, match="cannot be written"):
            call()


def test_a_full_disk_is_a_spool_error_and_leaves_no_element(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom ssm.errors import SpoolError\n"
        "from ssm.spool import DirqTransport\n"
        "try:\n    DirqTransport(Path(sys.argv[1])).add('x' * 100_000)\n"
        "except SpoolError as error:\n    print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        # A process that may not write more than this gets the same error path as a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.stdout == f"The spool {tmp_path} cannot be written: File too large\n"
    assert consume(tmp_path) == []


def test_the_check_makes_the_directory_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    DirqTransport(tmp_path / "outgoing").check()
    assert list((tmp_path / "outgoing").iterdir()) == []


def test_a_lone_surrogate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="lone surrogate"):
        DirqTransport(tmp_path).add("a\ud800")
