"""Settings of what records say."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from accounting.config.setting import PREFIX
from accounting.config.values import (
    AcceleratorMap,
    Benchmark,
    Group,
    Names,
    PrivacyMap,
    VoMap,
    VoName,
)
from accounting.records.identity import Privacy
from notebooks_settings.values import Duration


class VoSettings(Group):
    """Whose usage it is, and what of it leaves the house."""

    default: VoName = Field(
        default="",
        description="The VO of notebooks without a primary group; empty for none: their records "
        "wait then.",
        examples=["vo.notebooks.egi.eu"],
    )
    map: VoMap = Field(
        default={},
        description="Primary group, exact or as a regular expression for all of it, to VO or "
        "FQAN; JSON in the environment.",
        examples=[{"urn:example:group:physics.*": "/vo.physics.example.org/users"}],
    )
    default_for_unmapped: bool = Field(
        default=False,
        description="Send groups from which no VO can be read with the default VO, instead of "
        "holding their records back.",
        examples=[True],
    )
    privacy: PrivacyMap = Field(
        default={},
        description="VO, exact or as a regular expression, to what its records say about users: "
        "keep, pseudonym or withhold; JSON in the environment. Users are kept where none matches.",
        examples=[{"vo.private.example.org": "pseudonym"}],
    )
    pseudonym_key_file: Path | None = Field(
        default=None,
        description="File with the key of the pseudonyms, at least 16 bytes. Keep it: another "
        "key makes other pseudonyms.",
        examples=["/etc/notebooks-accounting/pseudonym.key"],
    )
    excluded_users: Names = Field(
        default=frozenset(),
        description="Users that are not accounted for, such as the monitoring's; in the "
        "environment a JSON list, or names with commas between them.",
        examples=["monitoring@egi.eu"],
        json_schema_extra={"secret": True},
    )
    user_retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36500,
        description="After each poll, user names are replaced in notebooks that ended this many "
        "days ago and are delivered; totals stay. Kept forever if not given.",
        examples=[365],
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.default_for_unmapped and not self.default:
            raise ValueError(f"{PREFIX}VO__DEFAULT_FOR_UNMAPPED needs {PREFIX}VO__DEFAULT")
        if Privacy.PSEUDONYM in self.privacy.values() and self.pseudonym_key_file is None:
            raise ValueError(
                f"{PREFIX}VO__PRIVACY with pseudonyms needs {PREFIX}VO__PSEUDONYM_KEY_FILE"
            )
        return self


class RecordSettings(Group):
    """What records say where the cluster says nothing, or too much."""

    cpu_from: Literal["requests", "limits"] = Field(
        default="requests",
        description="Take CPU count and memory from the pods' requests or from their limits; the "
        "other is used where that one is missing.",
        examples=["requests"],
    )
    default_cpu_count: float | None = Field(
        default=None,
        gt=0,
        le=4096,
        description="CPU count of pods without requests and limits; unknown if not given.",
        examples=[1],
    )
    default_memory_mb: int | None = Field(
        default=None,
        gt=0,
        description="Memory of such pods, MB; if not given, the highest use that was seen.",
        examples=[1024],
    )
    benchmark_type: Benchmark = Field(
        default="", description="Name of the nodes' benchmark.", examples=["HEPscore23"]
    )
    benchmark: float | None = Field(
        default=None, gt=0, description="Its result for one core.", examples=[12.5]
    )

    accelerators: AcceleratorMap = Field(
        default={},
        description="Resources of vendors, exact or with `*`, to what they are: `type` (GPU, FPGA, "
        "Other, or none for what is no accelerator), `model`, and `share`, the part of a device "
        "that one of the resource is. They go before what is known by itself: NVIDIA's whole, "
        "shared and MIG devices, HAMi's, AMD's, Intel's, Gaudi, TPU and Neuron. JSON in the "
        "environment.",
        examples=[{"nvidia.com/gpu.shared": {"type": "GPU", "model": "A100", "share": 0.25}}],
    )

    close_after: Duration = Field(
        default=172800.0,
        ge=0,
        description="A month is closed this long after its end. What was not said of it before "
        "still goes out; corrections wait for `republish`.",
        examples=["2d"],
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if bool(self.benchmark_type) != (self.benchmark is not None):
            raise ValueError(
                f"{PREFIX}RECORD__BENCHMARK_TYPE and {PREFIX}RECORD__BENCHMARK belong together"
            )
        return self
