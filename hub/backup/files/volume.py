"""What is done to one mounted volume: back it up, put files back, compare."""

import glob
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hub.backup.files.comparison import compare
from hub.backup.files.placement import STAGING, Placed, clear, place
from hub.backup.report.outcome import Outcome, State
from hub.backup.snapshots.repository import Repository, Snapshot
from hub.program.failure import Failure

_SPECIAL = re.compile(r"([\\*?\[])")


def tag_of(claim: str) -> str:
    """The tag of a claim's snapshots."""
    return f"claim={claim}"


@dataclass(frozen=True)
class Volume:
    """A claim's volume where it is mounted.

    Attributes:
        namespace: the one that its snapshots were or will be made in.
        claim: the claim's name.
        root: the mount point. Its last folder is called like the claim: restic compares with the
            last snapshot of the same paths, which must be of the same claim.
        repository: where its snapshots are.
    """

    namespace: str
    claim: str
    root: Path
    repository: Repository

    def back_up(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> Outcome:
        """Make a snapshot of the volume."""
        self._require_mounted()
        paths = self._chosen(include)
        if not paths:
            return self._outcome(State.DONE, "none of the wanted files is there")
        summary, is_whole = self.repository.backup(
            paths,
            host=self.namespace,
            tags=[tag_of(self.claim)],
            exclude=[*exclude, str(self.root / STAGING)],
        )
        return Outcome(
            self.claim,
            State.DONE if is_whole else State.INCOMPLETE,
            "kept" if is_whole else "some files could not be read: see whose they are",
            summary["snapshot_id"],
            summary["total_files_processed"],
            summary["total_bytes_processed"],
            summary["data_added"],
        )

    def _chosen(self, include: tuple[str, ...]) -> list[bytes]:
        root = os.fsencode(self.root)
        if not include:
            return [root]
        found: dict[bytes, None] = {}
        for pattern in include:
            names = glob.glob(  # noqa: PTH207 - pathlib knows no names of any bytes
                os.fsencode(pattern), root_dir=root, recursive=True, include_hidden=True
            )
            found |= {os.path.join(root, name): None for name in sorted(names)}  # noqa: PTH118 - names may not be text
        return list(found)

    def restore(self, snapshot_id: str, path: str, *, overwrite: bool) -> Outcome:
        """Put the files of a snapshot back.

        Args:
            snapshot_id: restic's.
            path: from the volume's top folder; empty for everything.
            overwrite: replace files that are there.
        """
        self._require_mounted()
        snapshot = self._snapshot(snapshot_id)
        staging = self.root / STAGING
        clear(staging)  # of a restore that was interrupted
        staging.mkdir(mode=0o700)
        try:
            restored = self._restored(snapshot, staging, path)
            placed = place(restored, self.root, overwrite=overwrite) if restored else Placed()
        finally:
            clear(staging)
        return self._told(snapshot, path, placed)

    def _told(self, snapshot: Snapshot, path: str, placed: Placed) -> Outcome:
        said = [f"{placed.new} files restored of {snapshot.at:%Y-%m-%d %H:%M}Z"]
        if placed.replaced:
            said.append(f"{placed.replaced} replaced")
        if placed.kept:
            said.append(f"{placed.kept} that are there were kept (--overwrite replaces them)")
        if placed.blocked:
            said.append(f"{placed.blocked} left out: a folder, file or link is in their place")
        state = State.INCOMPLETE if placed.blocked else State.DONE
        if path and not (placed.new or placed.replaced or placed.kept or placed.blocked):
            state, said = State.FAILED, ["the snapshot has no such path: see 'restic ls'"]
        files = placed.new + placed.replaced
        return self._outcome(state, ", ".join(said), snapshot.id, files)

    def drill(self, snapshot_id: str, scratch: Path) -> Outcome:
        """Restore a snapshot elsewhere, and compare checksums with the files as they are now."""
        self._require_mounted()
        snapshot = self._snapshot(snapshot_id)
        with tempfile.TemporaryDirectory(dir=scratch, prefix="drill-") as folder:
            inner = Path(folder) / "restored"
            inner.mkdir()
            try:
                restored = self._restored(snapshot, inner, "")
                if restored is None:
                    raise Failure("the snapshot is empty", "see the settings include and exclude")
                found = compare(restored, self.root)
            finally:
                clear(inner)
        said = f"{found.same} files are the same, {found.changed} were changed since"
        if found.different:
            said = f"{found.different} files differ though nobody changed them; {said}"
        state = State.FAILED if found.different else State.DONE
        return self._outcome(state, said, snapshot.id, found.same, found.size_bytes)

    def _restored(self, snapshot: Snapshot, target: Path, path: str) -> Path | None:
        """Restore below ``target``: the folder that stands for the volume's top."""
        top = self._top(snapshot)
        include = []
        if path:
            wanted = PurePosixPath(path.strip("/"))
            if ".." in wanted.parts or not wanted.parts:
                raise Failure(
                    "the path is not one within the volume",
                    "give it from the volume's top folder, for example work/thesis",
                )
            include = [_SPECIAL.sub(r"\\\1", str(top / wanted))]
        self.repository.restore(snapshot.id, target, include)
        restored = target / top.relative_to("/")
        return restored if restored.is_dir() else None

    def _top(self, snapshot: Snapshot) -> PurePosixPath:
        """Where the volume was mounted when the snapshot was made."""
        path = PurePosixPath(snapshot.paths[0])
        for folder in (*reversed(path.parents), path):
            if folder.name == self.claim:
                return folder
        raise Failure("the snapshot is not of this claim", "choose one that 'list' shows for it")

    def _snapshot(self, snapshot_id: str) -> Snapshot:
        for snapshot in self.repository.snapshots(self.namespace, tag_of(self.claim)):
            if snapshot.id.startswith(snapshot_id):
                return snapshot
        raise Failure("there is no such snapshot of this claim", "see 'notebooks-backup list'")

    def _require_mounted(self) -> None:
        if not self.root.is_dir():
            raise Failure(
                f"no volume is mounted at {self.root}",
                "see NOTEBOOKS_BACKUP_VOLUMES_DIR, and the worker's pod",
            )

    def _outcome(
        self, state: State, said: str, snapshot: str = "", files: int = 0, size_bytes: int = 0
    ) -> Outcome:
        return Outcome(self.claim, state, said, snapshot, files, size_bytes)
