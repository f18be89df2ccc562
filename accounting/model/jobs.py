"""What the service can be asked to do, and how it can end."""

from enum import StrEnum


class JobKind(StrEnum):
    """What can be done."""

    POLL = "poll"
    PUSH = "push"
    REPUBLISH = "republish"
    ERASE = "erase"
    IMPORT = "import"
    RECONCILE = "reconcile"


class Ending(StrEnum):
    """How a job ended.

    ``unavailable`` is the other side's failure, ``busy`` says that somebody else does the same job,
    ``stopped`` that the program was told to end, ``failed`` is any other failure.
    """

    DONE = "done"
    INCOMPLETE = "incomplete"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    STOPPED = "stopped"
    FAILED = "failed"


class RunState(StrEnum):
    """How far a run of the API has come."""

    RUNNING = "running"
    DONE = "done"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
