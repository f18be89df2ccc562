"""Which resources are accelerators, and what a pod held of them. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from accounting.model.accelerators import (
    Accelerator,
    Amounts,
    Quality,
    Surroundings,
    Type,
    Use,
    UseKey,
)
from accounting.model.pods import Account
from accounting.model.time import Month
from accounting.records.holdings import Held


@dataclass(frozen=True, slots=True)
class Kind:
    """What a resource is.

    Attributes:
        type: APEL's; empty for what is no accelerator.
        model: empty: as the node's labels or the devices have it.
        share: of a device that one of the resource is; None: as the node's labels have it.
    """

    type: str = Type.GPU
    model: str = ""
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of all resources: the site's own first, exact names before patterns."""

    own: Mapping[str, Kind] = field(default_factory=dict)

    def of(self, resource: str) -> Kind | None:
        """The kind of a resource by its sanitised name; None if no rule knows it."""
        for kinds in (self.own, USUAL):
            exact = next((k for name, k in kinds.items() if sanitised(name) == resource), None)
            if exact is not None:
                return exact
            for name, kind in kinds.items():
                if fnmatchcase(resource, sanitised(name)):
                    return kind
        return None


USUAL: Mapping[str, Kind] = {
    "nvidia.com/gpu": Kind(),
    "nvidia.com/gpu.shared": Kind(),
    "nvidia.com/mig-*": Kind(),
    # HAMi's: how much of each device of `nvidia.com/gpu` a container gets.
    "nvidia.com/gpucores": Kind(""),
    "nvidia.com/gpumem*": Kind(""),
    "nvidia.com/priority": Kind(""),
    "*/gpu": Kind(),  # AMD's and others'
    "gpu.intel.com/i915": Kind(),
    "gpu.intel.com/xe": Kind(),
    "gpu.intel.com/*": Kind(""),  # monitoring, and parts of a device: beside the device itself
    "habana.ai/gaudi*": Kind(Type.OTHER),
    "google.com/tpu": Kind(Type.OTHER),
    "aws.amazon.com/neuron": Kind(Type.OTHER),
    "aws.amazon.com/neurondevice": Kind(Type.OTHER),
    "aws.amazon.com/neuroncore": Kind(Type.OTHER),
    "amd.com/xilinx*": Kind(Type.FPGA),
    "xilinx.com/fpga-*": Kind(Type.FPGA),
    "fpga.intel.com/*": Kind(Type.FPGA),
}
"""What the vendors' device plugins offer."""


def sanitised(name: str) -> str:
    """A resource's or label's name as kube-state-metrics writes it; ``*`` stays."""
    return re.sub(r"[^a-zA-Z0-9_*]", "_", name)


_DEVICES, _CORES = "nvidia_com_gpu", "nvidia_com_gpucores"
_PERCENT = 100.0
_SHARED = "_shared"
_MIG = re.compile(r"(?P<whole>\w+)_mig_(?P<profile>(?:\d+c_)?\d+g)_(?P<memory>\d+gb)(?P<more>\w*)")
# Labels that tell a model, by the resource that they speak of; GKE's speak of its nodes.
_MODELS = (
    "{}_product",
    "{}_product_name",
    "cloud_google_com_gke_accelerator",
    "cloud_google_com_gke_tpu_accelerator",
)


@dataclass(frozen=True, slots=True)
class _Part:
    """One kind of accelerator that a pod asks for."""

    resource: str
    type: str
    model: str
    amount: float
    share: float
    is_shared: bool
    profile: str = ""


def devices(amounts: Amounts, around: Surroundings, kinds: Kinds) -> tuple[float | None, str]:
    """How many devices a pod asks for altogether, and their resources; None where it asks for none.

    Resources that no rule knows are named but not counted.
    """
    parts = _parts(amounts, around, kinds)
    known = [part.amount * part.share for part in parts if part.type]
    return (round(sum(known), 3) if known else None), ";".join(part.resource for part in parts)


def text(of: Accelerator) -> str:
    """One accelerator of a record in a line, as lists and exports have it."""
    count = "?" if of.count is None else f"{of.count:g}"
    active = "" if of.active_seconds is None else f", active {of.active_seconds} s"
    energy = "" if of.joules is None else f", {of.joules:g} J"
    named = of.model if of.model == of.resource else f"{of.model} ({of.resource})"
    return f"{count} x {named}, held {of.held_seconds} s{active}{energy}; use {of.quality}"


def held(
    account: Account, spans: Sequence[Held], month: Month, kinds: Kinds
) -> tuple[Accelerator, ...]:
    """What a pod held of each kind of accelerator in the spans, which lie in the month."""
    around = account.pod.surroundings
    of: dict[str, list[tuple[float, _Part]]] = {}
    for span in spans:
        amounts = span.resources.accelerators if span.resources else ()
        for part in _parts(amounts, around, kinds):
            of.setdefault(part.resource, []).append((span.seconds, part))
    whole = sum(span.seconds for span in spans)
    return (
        *(_accelerator(account.uses, parts, month) for parts in of.values()),
        *(
            Accelerator(claim, "", claim, None, 1.0, int(whole), quality=Quality.NOT_COUNTABLE)
            for claim in around.claims
        ),
    )


def _accelerator(
    uses: Mapping[UseKey, Use], parts: Sequence[tuple[float, _Part]], month: Month
) -> Accelerator:
    seconds = sum(length for length, _ in parts)
    last = parts[-1][1]
    total = sum(length * part.amount * part.share for length, part in parts)
    count = round(total / seconds, 3) if seconds else round(last.amount * last.share, 3)
    mine = [
        use
        for key, use in uses.items()
        if sanitised(key.profile) == sanitised(last.profile) and Month.of(key.day * 86400) == month
    ]
    told = next((use.model for use in mine if use.model), "")
    active: int | None = None
    joules: float | None = None
    quality = Quality.UNMEASURED
    if not last.type:
        quality = Quality.UNKNOWN
    elif mine and last.is_shared:
        quality = Quality.SHARED
    elif mine:
        quality = Quality.MEASURED
        busy = [use.active_seconds for use in mine if use.active_seconds is not None]
        taken = [use.joules for use in mine if use.joules is not None]
        active = min(int(seconds), round(sum(busy) / count)) if busy and count else None
        # Energy is that of the whole device: of a MIG slice nothing tells it.
        joules = round(sum(taken), 3) if taken and not last.profile else None
    return Accelerator(
        last.resource,
        last.type,
        last.model or told or last.resource,
        count,
        round(last.share, 6),
        int(seconds),
        active,
        joules,
        quality,
    )


def _parts(amounts: Amounts, around: Surroundings, kinds: Kinds) -> list[_Part]:
    labels, asked = dict(around.labels), dict(amounts)
    if _CORES in asked and _DEVICES not in asked:
        asked[_DEVICES] = 1.0  # HAMi gives one device to who asks for percents only
    found = []
    for resource, amount in sorted(asked.items()):
        kind = kinds.of(resource)
        if kind is None:
            found.append(_Part(resource, "", "", amount, 1.0, is_shared=False))
        elif kind.type:
            found.append(_part(resource, amount, kind, labels, asked))
    return found


def _part(
    resource: str, amount: float, kind: Kind, labels: Mapping[str, str], asked: Mapping[str, float]
) -> _Part:
    share = kind.share
    if share is None and resource == _DEVICES and _CORES in asked:
        share = min(1.0, asked[_CORES] / _PERCENT)
    base = resource.removesuffix(_SHARED)
    if share is None:
        share = 1.0 / _replicas(labels.get(f"{base}_replicas", ""))
    is_shared = share < 1.0 or resource != base
    mig = _MIG.fullmatch(base)
    profile = f"{mig['profile']}_{mig['memory']}{mig['more']}".replace("_", ".") if mig else ""
    model = kind.model or _model(labels, base, profile, f"{mig['whole']}_gpu" if mig else "")
    return _Part(resource, kind.type, model, amount, share, is_shared, profile)


def _replicas(text: str) -> int:
    return max(1, int(text)) if text.isdecimal() else 1


def _model(labels: Mapping[str, str], base: str, profile: str, whole: str) -> str:
    for name in _MODELS:
        if text := labels.get(name.format(base)):
            return text.removesuffix("-SHARED")
    if profile:
        product = labels.get(f"{whole}_product", "").removesuffix("-SHARED")
        return f"{product}-MIG-{profile}".removeprefix("-")
    return ""
