"""The rounds over a namespace's claims: back up, restore, drill."""

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hub.backup.files.volume import tag_of
from hub.backup.kubernetes.claim import Claim, read, written
from hub.backup.kubernetes.cluster import Cluster
from hub.backup.kubernetes.worker import Job, Use, Workshop, worker_pod
from hub.backup.report.outcome import Outcome, State
from hub.backup.snapshots.repository import Repository, Snapshot
from hub.program.failure import Failure

LIST_TAG, LIST_NAME = "claims", "claims.json"
_EXCLUSIVE = "ReadWriteOncePod"


@dataclass(frozen=True)
class Limits:
    """How much at a time, how long, and how often it says how far it is: seconds."""

    parallel: int
    start_seconds: float
    volume_seconds: float
    progress_seconds: float = 60.0


@dataclass(frozen=True)
class Wish:
    """What is to be restored.

    Attributes:
        namespace: where the backup was made.
        claim: only this claim; empty for any.
        user: only this user's claims; empty for any.
        path: only this path; empty for everything.
        at: as it was then; ``None`` for now.
        to_namespace: where to; ``None`` for the same.
        storage_class: of new claims; ``None`` for the same.
        overwrite: replace files that are there.
        skip_data: claims only.
        dry_run: only say what would be done.
    """

    namespace: str
    claim: str = ""
    user: str = ""
    path: str = ""
    at: datetime | None = None
    to_namespace: str | None = None
    storage_class: str | None = None
    overwrite: bool = False
    skip_data: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Rounds:
    """Works on many claims, each by a worker of its own.

    Attributes:
        cluster: the Kubernetes API.
        repository: where the snapshots are.
        workshop: what the workers share.
        limits: how much at a time.
        told: called with each outcome as it comes.
        progress: called now and then with how far it is.
    """

    cluster: Cluster
    repository: Repository
    workshop: Workshop
    limits: Limits
    told: Callable[[Outcome], None]
    progress: Callable[[str], None]

    async def back_up(self, namespace: str, wanted: Callable[[Claim], bool]) -> list[Outcome]:
        """Keep the list of claims, then each claim's volume."""
        claims = [claim for claim in await self.cluster.claims(namespace) if wanted(claim)]
        if not claims:
            raise Failure(
                f"the namespace {namespace} has no claim that is to be kept",
                "see NOTEBOOKS_BACKUP_NAMESPACE and NOTEBOOKS_BACKUP_CLAIMS",
            )
        await asyncio.to_thread(
            self.repository.store, written(claims), LIST_NAME, host=namespace, tags=[LIST_TAG]
        )
        await self.cluster.remove_ended_workers(namespace)
        job = ("backup", "--namespace", namespace)
        return await self._each(claims, lambda _claim: Job(job))

    async def drill(self, namespace: str, claims: int, seed: float) -> list[Outcome]:
        """Restore some claims' last snapshots elsewhere, and compare checksums."""
        there = {claim.name: claim for claim in await self.cluster.claims(namespace)}
        last = await self._last_snapshots(namespace, None)
        names = sorted(there.keys() & last.keys())
        if not names:
            raise Failure("no claim has a snapshot to try", "run 'notebooks-backup run' first")
        chosen = random.Random(seed).sample(names, min(claims, len(names)))  # noqa: S311 - a sample
        await self.cluster.remove_ended_workers(namespace)

        def job(claim: Claim) -> Job:
            snapshot = last[claim.name].id
            return Job(("drill", "--namespace", namespace, "--snapshot", snapshot))

        return await self._each([there[name] for name in chosen], job)

    async def restore(self, wish: Wish) -> list[Outcome]:
        """Make claims anew and put their data back; says for each what was done.

        A claim that is made for all its data bears a mark until they are there, so that after an
        interruption the same command goes on with the same snapshot.
        """
        kept = await self.kept_claims(wish)
        last = await self._last_snapshots(wish.namespace, wish.at)
        targets = [claim.moved(wish.to_namespace, wish.storage_class) for claim in kept]
        found = await self.cluster.claims(targets[0].namespace)
        marks = {claim.name: claim.unfinished for claim in found}
        done: list[Outcome] = []
        todo: list[Claim] = []
        for claim in targets:
            outcome = await self._prepare(claim, wish, marks.get(claim.name), last)
            if outcome is None:
                todo.append(claim)
            else:
                self.told(outcome)
                done.append(outcome)

        def job(claim: Claim) -> Job:
            mark = marks.get(claim.name)
            snapshot = mark if mark and wish.at is None else last[claim.name].id
            words = ["restore", "--namespace", wish.namespace, "--snapshot", snapshot]
            words += ["--path", wish.path] if wish.path else []
            words += ["--overwrite"] if wish.overwrite else []
            finishes = mark != "" and not wish.path
            return Job(tuple(words), writes=True, finishes=finishes)

        return done + await self._each(todo, job)

    async def _prepare(
        self, claim: Claim, wish: Wish, mark: str | None, last: dict[str, Snapshot]
    ) -> Outcome | None:
        """Make the claim; an outcome if that is all there is to do.

        Args:
            claim: as it is to be.
            wish: what is to be restored.
            mark: of the claim that is there, see ``Claim.unfinished``; None if there is none.
            last: each claim's snapshot.
        """
        is_there = mark is not None

        def ended(state: State, said: str) -> Outcome:
            return Outcome(claim.name, state, said)

        if mark == "" and not (wish.overwrite or wish.path):
            said = "left alone: the claim exists (--overwrite replaces its files)"
            return ended(State.SKIPPED, said)
        snapshot = None if wish.skip_data else last.get(claim.name)
        if wish.dry_run:
            return ended(State.SKIPPED, _plan(claim, mark, snapshot))
        marked = replace(claim, unfinished=snapshot.id if snapshot and not wish.path else "")
        if not is_there and not await self.cluster.create_claim(marked):
            return ended(State.SKIPPED, "left alone: somebody else made the claim just now")
        if wish.skip_data:
            said = "the claim was there" if is_there else "claim made"
            return ended(State.DONE, f"{said}, no data restored (--skip-data)")
        if snapshot is None:
            return ended(State.FAILED, "the backup has no snapshot of its data by then")
        return None

    async def kept_claims(self, wish: Wish) -> list[Claim]:
        """The claims that are wanted, from the newest list that has them.

        A whole namespace is what the newest list says; one claim or user may have left since,
        then older lists know them.

        Raises:
            Failure: there is no list, or none has them.
        """
        lists = await asyncio.to_thread(self.repository.snapshots, wish.namespace, LIST_TAG)
        by_then = [s for s in lists if wish.at is None or s.at <= wish.at]
        for snapshot in reversed(by_then):
            claims = read(await asyncio.to_thread(self.repository.document, snapshot))
            found = [c for c in claims if wish.claim in {"", c.name} and wish.user in {"", c.owner}]
            if found:
                return found
        if not by_then:
            raise Failure(
                f"there is no backup of the namespace {wish.namespace} by then",
                "see 'notebooks-backup list', --namespace and --at",
            )
        raise Failure("no backup knows such a claim", "see 'notebooks-backup list'")

    async def _last_snapshots(self, namespace: str, until: datetime | None) -> dict[str, Snapshot]:
        """Claim's name → its last snapshot, or its last one by then."""
        found = await asyncio.to_thread(self.repository.snapshots, namespace)
        prefix = tag_of("")
        return {
            tag.removeprefix(prefix): snapshot
            for snapshot in found
            for tag in snapshot.tags
            if tag.startswith(prefix) and (until is None or snapshot.at <= until)
        }

    async def _each(self, claims: Sequence[Claim], job: Callable[[Claim], Job]) -> list[Outcome]:
        if not claims:
            return []
        uses = await self.cluster.uses(claims[0].namespace)
        turns = asyncio.Semaphore(self.limits.parallel)
        at_work: list[str] = []

        async def one(claim: Claim) -> Outcome:
            async with turns:
                at_work.append(claim.name)
                outcome = await self._work(claim, job(claim), uses.get(claim.name, Use()))
                at_work.remove(claim.name)
            self.told(outcome)
            return outcome

        async with asyncio.TaskGroup() as group:  # an error ends them all, and their pods too
            tasks = [group.create_task(one(claim)) for claim in claims]
            while (await asyncio.wait(tasks, timeout=self.limits.progress_seconds))[1]:
                done = sum(task.done() for task in tasks)
                self.progress(f"{done} of {len(tasks)} claims done; at work: {', '.join(at_work)}")
        return [task.result() for task in tasks]

    async def _work(self, claim: Claim, job: Job, use: Use) -> Outcome:
        if use.is_used and _EXCLUSIVE in claim.access_modes:
            said = f"a running server holds it, and {_EXCLUSIVE} lets nobody else in"
            return Outcome(claim.name, State.INCOMPLETE, said)
        if claim.unfinished and not job.writes:
            # A snapshot of half the files would take the place of the whole one of that day.
            said = "a restore of it was interrupted: run that again, then it is kept"
            return Outcome(claim.name, State.INCOMPLETE, said)
        name = f"notebooks-backup-{secrets.token_hex(6)}"
        words = (job.arguments[0], "--claim", claim.name, *job.arguments[1:])
        pod = worker_pod(self.workshop, name, claim, Job(words, writes=job.writes), use.node)
        try:
            left = await self.cluster.run(
                pod,
                start_seconds=self.limits.start_seconds,
                deadline_seconds=self.limits.volume_seconds,
            )
            outcome = Outcome.from_json(left)
            if job.finishes and outcome.state is not State.FAILED:
                await self.cluster.finish_restore(claim)
        except Failure as failure:
            return Outcome(claim.name, State.FAILED, str(failure))
        except ValueError:
            return Outcome(claim.name, State.FAILED, left.strip('"'))
        return outcome


def _plan(claim: Claim, mark: str | None, snapshot: Snapshot | None) -> str:
    """What would be done, for a dry run."""
    if mark:
        return "would go on with the interrupted restore"
    made = f"would make the claim ({claim.size})" if mark is None else "would use the claim"
    data = "no data" if snapshot is None else f"data of {snapshot.at:%Y-%m-%d %H:%M}Z"
    return f"{made}, {data}"
