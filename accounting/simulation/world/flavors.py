"""Sizes of notebook servers, and how their containers ask for resources."""

from dataclasses import dataclass

from accounting.simulation.judges.truth import Resources

GIB = 1024**3
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Flavor:
    """A named server size with the requests and limits of its notebook container."""

    name: str
    requests: Resources
    limits: Resources


PLAIN_FLAVORS = (
    Flavor("small", Resources(1, 2 * GIB), Resources(2, 4 * GIB)),
    Flavor("medium", Resources(2, 4 * GIB), Resources(2, 4 * GIB)),
    Flavor("large", Resources(4, 8 * GIB), Resources(8, 16 * GIB)),
)
ODD_FLAVORS = (
    Flavor("fractional", Resources(0.25, 512 * MIB), Resources(1.5, GIB)),
    Flavor("half", Resources(0.5, 1_500_000_000), Resources()),
    Flavor("no-cpu-request", Resources(None, GIB), Resources(2, 2 * GIB)),
    Flavor("zero-cpu-request", Resources(0, GIB), Resources(1, 2 * GIB)),
    Flavor("nothing-asked", Resources(), Resources()),
    Flavor("limits-only", Resources(None, None), Resources(3, 3 * GIB)),
)
GPU = (("nvidia_com_gpu", 1),)
TWO_GPUS = (("nvidia_com_gpu", 2),)
SLICE = (("nvidia_com_mig_1g_5gb", 1),)
GPU_FLAVORS = (
    Flavor("gpu", Resources(4, 16 * GIB, GPU), Resources(8, 32 * GIB, GPU)),
    Flavor("gpu-slice", Resources(2, 8 * GIB, SLICE), Resources(2, 8 * GIB, SLICE)),
    Flavor("two-gpus", Resources(8, 32 * GIB, TWO_GPUS), Resources(8, 32 * GIB, TWO_GPUS)),
)
DEVICES = (
    "nvidia_com_gpu",
    "nvidia_com_gpu_shared",
    "nvidia_com_mig_1g_5gb",
    "amd_com_gpu",
    "gpu_intel_com_i915",
    "habana_ai_gaudi",
    "google_com_tpu",
    "aws_amazon_com_neuron",
    "example_com_dongle",
)
"""Extended resources of several vendors; no rule knows the last one."""
DEVICE_FLAVORS = tuple(
    Flavor(
        name,
        Resources(2, 4 * GIB, ((name, 1),)),
        Resources(4, 8 * GIB, ((name, 1),)),
    )
    for name in DEVICES
)
NATIVE_REQUESTS = Resources(0.5, 256 * MIB)
NATIVE_LIMITS = Resources(1, 512 * MIB)
INIT_REQUESTS = Resources(6, 10 * GIB)
"""More than most notebooks ask for."""
WHOLE_REQUESTS = Resources(3, 5 * GIB)
SIDECAR_REQUESTS = Resources(0.1, 64 * MIB)
SIDECAR_LIMITS = Resources(0.2, 128 * MIB)
