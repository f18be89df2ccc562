"""What the API answers, as OpenAPI shows it: every name carries its unit, every field an example.

Times (``…_at``) are Unix seconds, UTC; what is not known is null, never 0.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from accounting.lookup.entries import Delivery
from accounting.model.accelerators import Quality
from accounting.model.energy import EnergyQuality
from accounting.model.jobs import Ending, JobKind, RunState
from accounting.model.messages import FailureKind, MessageState
from accounting.model.pods import CounterKind
from accounting.model.records import Held, Status

At = Annotated[int, Field(description="Unix seconds, UTC.", examples=[1793512800])]
MonthText = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d{2}$", description="A UTC calendar month.", examples=["2026-11"]),
]


def _example(value: Any, says: str = "") -> Any:
    return Field(description=says or None, examples=[value])


_TOTAL = Field(
    default=None, description="How many there are in all; null if not asked for.", examples=[1234]
)


class Model(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=False)


class ProblemModel(BaseModel):
    """A refusal or failure (RFC 9457)."""

    type: str = _example("about:blank")
    title: str = _example("Forbidden")
    status: int = _example(403)
    detail: str = _example("this is not yours to see", "What is the matter.")
    cure: str = _example("ask for your own usage, or for a VO that you manage", "What to do.")
    instance: str = _example("/api/v1/records", "The path that was asked for.")
    errors: list[dict[str, str]] | None = Field(
        default=None,
        description="Which parameters are wrong, and why.",
        examples=[[{"parameter": "month", "problem": "is not a month; for example 2026-11"}]],
    )


class AcceleratorModel(Model):
    """What a notebook held of one kind of accelerator within a month."""

    resource: str = _example("nvidia_com_gpu_shared", "Of a claim, its template's or own name.")
    type: str = _example("GPU", "GPU, FPGA or Other; empty where no rule knows the resource.")
    model: str = _example("NVIDIA-A100-SXM4-40GB")
    count: float | None = _example(0.5, "Devices; null where only a claim is known.")
    share: float = _example(0.5, "Of a device that one of the resource is.")
    held_seconds: int = _example(3600, "Wall time within the month while it was held.")
    active_seconds: int | None = _example(120, "Of those, how long a device was busy, on average.")
    joules: float | None = _example(None, "That all its devices took within the month.")
    quality: Quality = _example("measured", "How far its use is known.")


class RecordModel(Model):
    """One notebook's APEL cloud record of one month; durations count from its start."""

    uid: str = _example("0b6ff5b7-7b0c-4c53-9a9e-6f3f7d3a4f10", "The pod's uid: the VMUUID.")
    month: MonthText
    site: str = _example("EXAMPLE-NOTEBOOKS")
    compute_service: str = _example("notebooks.example.org")
    cloud_type: str = _example("EGI Notebooks")
    machine: str = _example("jupyter-ada", "The pod's name; empty where the user is not shown.")
    user: str = _example("ada@example.org", "Name, pseudonym, or empty, as the VO's privacy says.")
    group: str = _example("urn:mace:egi.eu:group:vo.example.org#aai.egi.eu", "The primary group.")
    status: Status = _example("completed")
    created_at: int = _example(1793516400, "When it was measured last, Unix seconds.")
    start_at: At
    end_at: int | None = _example(1793516400, "Unix seconds; null while it runs.")
    wall_seconds: int = _example(3600)
    cpu_seconds: int | None = _example(120)
    used_wall_seconds: int = _example(3600, "Within the month.")
    used_cpu_seconds: int | None = _example(120, "Within the month.")
    core_seconds: float | None = _example(7200.0, "Held within the month: cores x seconds.")
    memory_mb_seconds: float | None = _example(14745600.0, "Held within the month: MB x seconds.")
    gpu_seconds: float | None = _example(None, "Held within the month: accelerators x seconds.")
    cpu_count: float | None = _example(2.0)
    received_gb: int | None = _example(1)
    sent_gb: int | None = _example(0)
    memory_mb: int | None = _example(2048)
    disk_gb: int | None = _example(10)
    image: str = _example("registry.example.org/notebook:1")
    flavor: str = _example("small")
    gpu_count: float | None = _example(None)
    gpu_resource: str = _example("")
    benchmark_type: str = _example("HEPscore23")
    benchmark: float | None = _example(12.5)
    flags: list[str] = _example(["default VO"], "What was estimated or is incomplete.")
    held: Held = _example("", "Why it does not go out; empty if it does.")
    problem: str = _example("", "What the repository would refuse.")
    digest: str = _example("9f86d081884c7d65", "SHA-256 of what goes out.")
    vo: str = _example("vo.example.org")
    fqan: str = _example("/vo.example.org")
    vo_rule: str = _example("entitlement", "What decided the VO.")
    vo_source: str = _example("urn:mace:egi.eu:group:vo.example.org#aai.egi.eu", "From what.")
    accelerators: list[AcceleratorModel]
    joules: float | None = _example(90000.0, "Energy taken within the month; null: not known.")
    energy_quality: EnergyQuality = _example(
        "measured active energy", "How well that is known; empty: not at all."
    )
    delivery: Delivery = _example("sent", "How far its content has come.")
    message_id: int | None = _example(12, "The message that took it last.")


class RecordsModel(Model):
    """A page of records."""

    records: list[RecordModel]
    next: str | None = Field(
        description="Cursor of the next page; null on the last.", examples=["WyItc3RhcnQiLDFd"]
    )
    total: int | None = _TOTAL


class TakenModel(Model):
    """A message that took a record."""

    month: MonthText
    id: int = _example(12)
    empaid: str = _example("5f0c7a52-4c58-4a52-9f57-0d3f8f1f6c11", "Our id of the message.")
    destination: str = _example("ams://msg.example.org/accounting/eu-egi-cloud-accounting")
    state: str = _example("sent")
    broker_id: str = _example("4711", "The broker's id of it; empty until it is delivered.")
    built_at: float = _example(1793516400.0, "Unix seconds.")
    sent_at: float | None = _example(1793516401.0, "Unix seconds.")
    is_current: bool = _example(True, "It carried what the record says now.")


class AcknowledgementModel(Model):
    """Who accepted that a record stays held."""

    month: MonthText
    at: float = _example(1793516400.0, "Unix seconds.")
    by: str = _example("ada@example.org")
    reason: str = _example("test pod of the operator")


class AcknowledgedModel(Model):
    """How many held records a change reached."""

    records: int = _example(1)


class NotebookModel(Model):
    """All that is recorded of one notebook."""

    uid: str = _example("0b6ff5b7-7b0c-4c53-9a9e-6f3f7d3a4f10")
    months: list[RecordModel]
    messages: list[TakenModel]
    acknowledgements: list[AcknowledgementModel]


class TakingsModel(Model):
    """The messages that took a notebook's records."""

    messages: list[TakenModel]


class CounterModel(Model):
    """A counter as it was read last."""

    kind: CounterKind = _example("cpu", "What it counts: CPU time; rx, received; tx, sent; joules.")
    told_by: str = _example(
        "the pod's cgroup (cAdvisor)",
        "What it is of, and who tells it; for traffic, the interface; for energy, the zone.",
    )
    unit: str = _example("s", "Of value and total: s, B or J.")
    value: float = _example(120.5, "What the series said last.")
    total: float = _example(120.5, "The value, with what had been counted before each reset.")
    resets: int = _example(0, "How often it began again.")
    read_at: int = _example(1793516400, "Up to when it was read, Unix seconds.")
    first_at: float | None = _example(
        1793512830.0, "Its first sample, Unix seconds; null: samples were not read one by one."
    )
    seen_at: float | None = _example(1793516370.0, "The same of its last sample.")


class CountersModel(Model):
    """The counters of a notebook."""

    counters: list[CounterModel]


class ReadingModel(Model):
    """A notebook's totals since its start, as they were last seen in a month."""

    month: MonthText
    at: int = _example(1793516400, "When, Unix seconds.")
    cpu_seconds: float | None = _example(120.5)
    received_bytes: float | None = _example(1048576.0)
    sent_bytes: float | None = _example(262144.0)


class ReadingsModel(Model):
    """A notebook's totals by month, the earliest first."""

    readings: list[ReadingModel]


class PartModel(Model):
    """A part of what was measured."""

    pods: int = _example(12, "Notebooks.")
    wall_seconds: int = _example(43200)
    cpu_seconds: int = _example(1800)


class UsageModel(Model):
    """What was used; the members that the question names in ``by`` say by whom or when."""

    month: MonthText | None = None
    day: str | None = Field(default=None, examples=["2026-11-01"])
    vo: str | None = Field(default=None, examples=["vo.example.org"])
    user: str | None = Field(default=None, examples=["ada@example.org"])
    flavor: str | None = Field(default=None, examples=["small"])
    image: str | None = Field(default=None, examples=["registry.example.org/notebook:1"])
    pods: int = _example(12, "Notebooks.")
    users: int = _example(3, "Distinct users, as records show them.")
    wall_seconds: int = _example(43200)
    cpu_seconds: int = _example(1800)
    core_seconds: float = _example(86400.0, "Wall time, times the cores of each notebook.")
    memory_mb_seconds: float = _example(88473600.0, "Wall time, times the MB of each notebook.")
    gpu_seconds: float = _example(0.0, "Wall time, times the GPUs of each notebook.")
    pods_without_cpu: int = _example(0, "Their CPU time is unknown, and missing here.")
    joules: float = _example(90000.0, "Energy, as far as it is known.")
    joules_estimated: float = _example(0.0, "The part of it that is estimated.")
    pods_without_energy: int = _example(
        0, "Their energy is not known, or not all of it; missing here."
    )
    energy_quality: EnergyQuality = _example(
        "measured active energy", "That of the worst part; empty: nothing is known."
    )
    co2_grams: float | None = _example(
        5.25, "CO2 of the energy by the site's factor; null: no factor is set."
    )
    goes_out: PartModel = Field(description="What of it is not held back.")
    delivered: PartModel | None = Field(
        description="What the repository was given so far; null by day: it is given months."
    )


class SummaryModel(Model):
    """Usage within months."""

    by: list[str] = _example(["month", "vo"])
    first_month: str | None = Field(examples=["2026-11"])
    last_month: str | None = Field(examples=["2026-11"])
    rows: list[UsageModel]


class StoredModel(Model):
    """What some home volumes hold; the members that the question names in ``by`` say which."""

    volume: str | None = Field(default=None, examples=["claim-ada"])
    user: str | None = Field(default=None, examples=["ada@example.org"])
    vo: str | None = Field(default=None, examples=["vo.example.org"])
    day: str | None = Field(default=None, examples=["2026-11-01"])
    volumes: int = _example(12)
    used_bytes: int = _example(1073741824, "On the last day that was read, or on that day.")
    allocated_bytes: int = _example(21474836480, "The same of the claims' sizes that are known.")
    used_byte_days: int = _example(32212254720, "Used bytes, added up over the days.")
    measured_by_file_system: int = _example(28, "Volumes times days, known by their file system.")
    measured_by_directory: int = _example(0, "Volumes times days, known by a directory's size.")
    only_allocated: int = _example(2, "Volumes times days that count with their claim's size.")


class StorageModel(Model):
    """Home volumes in a month."""

    by: list[str] = _example(["vo"])
    month: str | None = Field(examples=["2026-11"], description="Null if none was measured.")
    rows: list[StoredModel]


class WindowModel(Model):
    """A span of time that was read."""

    start_at: At
    end_at: At
    spoke: bool = _example(True, "The source said something in it.")
    pods: int = _example(17)
    rejected: int = _example(0, "Values that could not be true.")
    polled_at: float = _example(1793516400.0, "Unix seconds.")


class WindowsModel(Model):
    """A page of windows, the latest first."""

    windows: list[WindowModel]
    next: str | None = Field(examples=["WyItc3RhcnQiLDFd"])
    total: int | None = _TOTAL


class GapModel(Model):
    """A silence of the source."""

    start_at: float = _example(1793516400.0, "Its last sample before, Unix seconds.")
    end_at: float | None = _example(1793520000.0, "Unix seconds; null: it is silent still.")


class GapsModel(Model):
    """Silences of the source, the earliest first."""

    gaps: list[GapModel]
    read_until: int | None = _example(
        1793519940, "How far usage is read, Unix seconds: of later times nothing is known yet."
    )


class FailureModel(Model):
    """Why a message did not go, or a destination is stopped."""

    kind: FailureKind = _example("refused")
    reason: str = _example("the broker refused the message")
    cure: str = _example("register the certificate's DN in GOCDB", "What the operator does.")


class MessageModel(Model):
    """A message of the outbox."""

    id: int = _example(12, "Its number.")
    empaid: str = _example("5f0c7a52-4c58-4a52-9f57-0d3f8f1f6c11", "Our id of it.")
    destination: str = _example("ams://msg.example.org/accounting/eu-egi-cloud-accounting")
    state: MessageState = _example("sent")
    records: int = _example(500)
    built_at: float = _example(1793516400.0, "Unix seconds.")
    attempts: int = _example(1)
    tried_at: float | None = _example(1793516401.0, "Unix seconds.")
    next_try_at: float | None = _example(None, "Not before, Unix seconds.")
    sent_at: float | None = _example(1793516401.0, "Unix seconds.")
    broker_id: str = _example("4711", "The broker's id of it; empty until it is delivered.")
    failure: FailureModel | None = Field(description="The last one; null once it is sent.")
    origin: int = _example(12, "The number of the whole that it is a part of, after a split.")
    part: str = _example("", "Which part: a, b, aa …; empty: the whole.")


class MessagesModel(Model):
    """A page of messages, the latest first."""

    messages: list[MessageModel]
    next: str | None = Field(examples=["WyItaWQiLDFd"])
    total: int | None = _TOTAL


class TakenRecordModel(Model):
    """A record that a message took."""

    uid: str = _example(
        "0b6ff5b7-7b0c-4c53-9a9e-6f3f7d3a4f10",
        "The pod's; where the destination takes no records, the name of the figure.",
    )
    month: MonthText
    digest: str = _example("9f86d081884c7d65", "SHA-256 of what the message said.")
    is_latest: bool = _example(True, "No later message took the record.")
    is_current: bool = _example(True, "The record still says the same.")


class TakenRecordsModel(Model):
    """A page of a message's records, by uid and month."""

    records: list[TakenRecordModel]
    next: str | None = Field(examples=["WyJwb2QiLCJhIiwyMDI2LDExXQ"])


class DestinationModel(Model):
    """How delivery to one destination stands."""

    name: str = _example("ams://msg.example.org/accounting/eu-egi-cloud-accounting", "Its address.")
    alias: str = _example("apel", "Its name in the settings; empty: it is not there.")
    due: int | None = _example(0, "Records that must go there and are in no message yet.")
    differing: int | None = _example(0, "Records of closed months that differ from what was sent.")
    messages: dict[str, int] = _example({"pending": 0, "sent": 12})
    oldest_at: float | None = _example(None, "When the oldest undelivered message was built.")
    last_sent_at: float | None = _example(1793516401.0, "Unix seconds.")
    next_try_at: float | None = _example(None, "Unix seconds.")
    failure: FailureModel | None = Field(description="What is wrong there now.")
    stopped_at: float | None = _example(None, "Since when it takes nothing, Unix seconds.")


class DestinationsModel(Model):
    """The destinations in the settings, and all others that a message was ever for."""

    destinations: list[DestinationModel]


class OutgoingModel(Model):
    """What waits and what went to one destination; null: not known."""

    address: str = _example("ams://msg.example.org/accounting/eu-egi-cloud-accounting")
    due: int | None = _example(0, "Records that must go there and are in no message yet.")
    differing: int | None = _example(0, "Records of closed months that differ from what was sent.")
    messages: dict[str, int] = _example({"pending": 0, "sent": 12})
    oldest_seconds: float | None = _example(0.0, "Age of the oldest message that waits.")
    last_push_at: float | None = _example(1793516401.0, "Unix seconds.")
    certificate_days: float | None = _example(211.4, "Until its host certificate expires.")
    is_stopped: bool | None = _example(False, "It takes nothing until something is put right.")


class DeliveryModel(Model):
    """What waits and what went."""

    due: int = _example(0, "Records that must go out and are in no message yet.")
    held: dict[str, int] = _example(
        {"unmapped": 2}, "Records held back that nobody acknowledged, by reason."
    )
    acknowledged: int = _example(0, "Held records that an operator accepted.")
    messages: dict[str, int] = _example({"pending": 0, "sent": 12})
    oldest_seconds: float | None = _example(
        0.0, "Age of the oldest message that waits; null if a clock ran ahead."
    )
    last_push_at: float | None = _example(1793516401.0, "Unix seconds.")
    certificate_days: float | None = _example(211.4, "Until the host certificate expires.")
    destinations: dict[str, OutgoingModel] = Field(
        description="Each by its name in the settings; the figures above are of all."
    )
    unmapped_flavors: dict[str, float] = _example(
        {}, "Hours of the last three months that EOSC's accounting is not told, by flavour."
    )
    dated_ahead: int = _example(0, "Records that say a time in the future: a clock ran ahead.")


class StatusModel(Model):
    """Is everything measured and delivered?"""

    now: float = _example(1793520000.0, "Unix seconds.")
    read_until: int | None = _example(1793519940, "The watermark, Unix seconds.")
    lag_seconds: float | None = _example(
        60.0, "From there to now; null if nothing was read yet, or a clock ran ahead."
    )
    gaps: list[GapModel]
    delivery: DeliveryModel | None = Field(description="For administrators only.")


class MeModel(Model):
    """Who you are here."""

    name: str = _example("ada@example.org")
    role: str = _example("manager")
    rights: list[str] = _example(["read"])
    vos: list[str] = _example(["vo.example.org"], "The VOs that you manage.")
    user: str = _example("ada@example.org", "Whose own usage you see; empty for a program.")


class RunErrorModel(Model):
    """Why a run failed."""

    error: str = _example("the broker does not answer")
    cure: str = _example("check ACCOUNTING_SSM__AMS_HOST")


class RunModel(Model):
    """A poll, push, republishing or reconciliation."""

    id: str = _example("3f2a9c01b7de")
    kind: JobKind = _example("push")
    state: RunState = _example("done")
    begun_at: float = _example(1793516400.0, "Unix seconds.")
    ended_at: float | None = _example(1793516402.5, "Unix seconds; null while it runs.")
    progress: dict[str, Any] = _example({"sent": 3}, "Figures on the way.")
    ending: Ending | None = _example("done", "How it ended; null while it runs.")
    exit_code: int | None = _example(0, "As the command's: 0 done, 1 failed, 3 incomplete.")
    result: dict[str, Any] | None = _example({"sent": 3, "pending": 0}, "As of the command.")
    error: RunErrorModel | None = Field(description="Why it failed.")


class RunsModel(Model):
    """Runs, the latest first."""

    runs: list[RunModel]
