"""Which resources are accelerators, and what a record says of each (cases.md, 5; M10)."""

import pytest

from accounting.model.accelerators import Amounts, Quality, Surroundings, Use, UseKey
from accounting.model.pods import Account, Owner, Pod, Reading, Resources
from accounting.model.records import Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.accelerators import Kind, Kinds, devices, sanitised
from accounting.records.builder import Site
from accounting.records.identity import VoRules

NOVEMBER = Month(2025, 11)
T = NOVEMBER.start + 86400
DAY = T // 86400
A100 = "NVIDIA-A100-SXM4-40GB"
NODE = Surroundings(
    (("nvidia_com_gpu_product", f"{A100}-SHARED"), ("nvidia_com_gpu_replicas", "4"))
)
WHOLE = Surroundings((("nvidia_com_gpu_product", A100), ("nvidia_com_gpu_replicas", "1")))


def record(
    *amounts: tuple[str, float],
    around: Surroundings = WHOLE,
    kinds: Kinds | None = None,
    uses: dict[UseKey, Use] | None = None,
) -> Record:
    pod = Pod(
        "6b4f0d5e-0000-4000-8000-ffffffffffff",
        "hub",
        "jupyter-a",
        T,
        T + 7200,
        T + 7200,
        started_at=T,
        owner=Owner("a@example.org", "g"),
        resources=Resources(2.0, accelerators=amounts),
        surroundings=around,
        ended=True,
        owner_known=True,
    )
    account = Account(pod, {}, {NOVEMBER: Reading(T, 1.0)}, uses or {})
    site = Site("SITE", kinds=kinds or Kinds())
    (only,) = builder.records(account, site, VoRules(default="vo.example.org"))
    return only


@pytest.mark.parametrize(
    ("amounts", "around", "expected"),
    [
        ((("nvidia.com/gpu", 2),), WHOLE, ("GPU", A100, 2.0, 1.0)),
        # NVIDIA's default: a slice has the whole device's name; its node tells of how many.
        ((("nvidia.com/gpu", 1),), NODE, ("GPU", A100, 0.25, 0.25)),
        ((("nvidia.com/gpu.shared", 1),), NODE, ("GPU", A100, 0.25, 0.25)),
        ((("nvidia.com/mig-1g.5gb", 1),), WHOLE, ("GPU", f"{A100}-MIG-1g.5gb", 1.0, 1.0)),
        ((("nvidia.com/mig-3g.20gb", 2),), Surroundings(), ("GPU", "MIG-3g.20gb", 2.0, 1.0)),
        ((("amd.com/gpu", 1),), Surroundings(), ("GPU", "amd_com_gpu", 1.0, 1.0)),
        ((("gpu.intel.com/i915", 1),), Surroundings(), ("GPU", "gpu_intel_com_i915", 1.0, 1.0)),
        ((("gpu.intel.com/xe", 1),), Surroundings(), ("GPU", "gpu_intel_com_xe", 1.0, 1.0)),
        ((("habana.ai/gaudi", 8),), Surroundings(), ("Other", "habana_ai_gaudi", 8.0, 1.0)),
        (
            (("google.com/tpu", 4),),
            Surroundings((("cloud_google_com_gke_tpu_accelerator", "tpu-v5-lite"),)),
            ("Other", "tpu-v5-lite", 4.0, 1.0),
        ),
        (
            (("aws.amazon.com/neuron", 1),),
            Surroundings(),
            ("Other", "aws_amazon_com_neuron", 1.0, 1),
        ),
        (
            (("aws.amazon.com/neuroncore", 2),),
            Surroundings(),
            ("Other", "aws_amazon_com_neuroncore", 2.0, 1.0),
        ),
        # HAMi: so many devices, so many percent of each.
        ((("nvidia.com/gpu", 2), ("nvidia.com/gpucores", 30)), WHOLE, ("GPU", A100, 0.6, 0.3)),
        (
            (("nvidia.com/gpucores", 50), ("nvidia.com/gpumem", 3000)),
            WHOLE,
            ("GPU", A100, 0.5, 0.5),
        ),
    ],
)
def test_what_device_plugins_offer_has_type_model_and_share(
    amounts: Amounts, around: Surroundings, expected: tuple[str, str, float, float]
) -> None:
    told = record(*((sanitised(name), n) for name, n in amounts), around=around)
    (one,) = told.accelerators
    assert (one.type, one.model, one.count, one.share) == expected
    assert one.held_seconds == 7200
    assert (told.gpu_count, told.gpu_seconds) == (one.count, expected[2] * 7200)


def test_the_settings_go_before_what_is_known() -> None:
    kinds = Kinds(
        {
            "nvidia.com/gpu.shared": Kind(share=0.5, model="H100"),
            "example.com/*": Kind("FPGA"),
            "example.com/dongle": Kind(""),
        }
    )
    (shared,) = record(("nvidia_com_gpu_shared", 1.0), around=NODE, kinds=kinds).accelerators
    assert (shared.count, shared.model) == (0.5, "H100")
    (fpga,) = record(
        ("example_com_card", 1.0), ("example_com_dongle", 1.0), kinds=kinds
    ).accelerators
    assert (fpga.type, fpga.resource) == ("FPGA", "example_com_card")


def test_a_resource_that_no_rule_knows_is_shown_and_flagged_and_not_counted() -> None:
    told = record(("example_com_dongle", 1.0), ("nvidia_com_gpu", 1.0))
    assert [(one.resource, one.quality) for one in told.accelerators] == [
        ("example_com_dongle", Quality.UNKNOWN),
        ("nvidia_com_gpu", Quality.UNMEASURED),
    ]
    assert "unknown resource" in told.flags
    assert (told.gpu_count, told.gpu_resource) == (1.0, "example_com_dongle;nvidia_com_gpu")


def test_a_claim_is_told_as_not_countable() -> None:
    told = record(around=Surroundings(claims=("large-gpu",)))
    (claim,) = told.accelerators
    assert (claim.model, claim.count, claim.quality) == ("large-gpu", None, "not countable")
    assert "accelerators not countable" in told.flags
    assert told.gpu_count is None


def test_use_is_the_mean_of_the_devices_within_the_month() -> None:
    uses = {
        UseKey(DAY, ""): Use(5000.0, 3.6e6),
        UseKey(DAY - 31, ""): Use(100.0, 1.0),
        UseKey(DAY, "1g.5gb"): Use(600.0, 7.0),
    }
    amounts = (("nvidia_com_gpu", 2.0), ("nvidia_com_mig_1g_5gb", 1.0))
    whole, part = record(*amounts, uses=uses).accelerators
    assert (whole.active_seconds, whole.joules, whole.quality) == (2500, 3.6e6, "measured")
    assert (part.active_seconds, part.joules) == (600, None)


def test_use_of_slices_is_not_told_apart() -> None:
    told = record(("nvidia_com_gpu", 1.0), around=NODE, uses={UseKey(DAY, ""): Use(5000.0, 1.0)})
    (slice_,) = told.accelerators
    assert (slice_.active_seconds, slice_.joules) == (None, None)
    assert slice_.quality == Quality.SHARED
    assert "accelerator use not told apart" in told.flags


def test_kinds_are_found_by_exact_names_first() -> None:
    assert devices((("vendor_com_gpu", 1.0),), Surroundings(), Kinds()) == (1.0, "vendor_com_gpu")
    assert devices((), Surroundings(), Kinds()) == (None, "")
