"""Whether nodes tell of the accelerators that notebooks hold (M10)."""

from collections.abc import Iterator

from accounting.doctor.finding import Finding, State
from accounting.measure.promql import ksm
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.records.accelerators import Kinds

ALLOWLIST = "--metric-labels-allowlist=nodes=[nvidia.com/gpu.product,nvidia.com/gpu.replicas]"

_DAY = "[1d]"
_SHARED = "_shared"
_MODELS = ("_product", "_product_name", "_accelerator")


def accelerators(source: Source, scope: Scope, kinds: Kinds, now: float) -> Iterator[Finding]:
    """A finding about the labels that tell models and shares; none where nobody holds any."""
    resources = _held(source, scope, now)
    known = {name for name in resources if (kind := kinds.of(name)) and kind.type}
    strange = {name for name in resources if kinds.of(name) is None}
    if strange:
        yield Finding(
            "accelerators",
            State.WARNING,
            f"notebooks hold resources that no rule knows: {', '.join(sorted(strange))}",
            "say what they are in ACCOUNTING_RECORD__ACCELERATORS ('none' for what is none)",
        )
    if not known:
        return
    labels = _node_labels(source, scope, now)
    nameless = {name for name in known if not ((kind := kinds.of(name)) and kind.model)}
    untold = {name for name in known if _is_untold(name, kinds, labels)}
    if untold:
        yield Finding(
            "accelerators",
            State.WARNING,
            f"notebooks hold {', '.join(sorted(untold))}, and no label of a node tells in how many"
            " parts a device is shared: each counts as a whole one",
            f"start kube-state-metrics with {ALLOWLIST}, or set the share in"
            " ACCOUNTING_RECORD__ACCELERATORS",
        )
    elif nameless and not any(name.endswith(_MODELS) for name in labels):
        yield Finding(
            "accelerators",
            State.WARNING,
            f"notebooks hold {', '.join(sorted(nameless))}, and no label of a node tells the model",
            f"start kube-state-metrics with {ALLOWLIST}, or name the model in"
            " ACCOUNTING_RECORD__ACCELERATORS",
        )
    else:
        yield Finding("accelerators", State.OK, f"nodes tell of {', '.join(sorted(known))}")


def _held(source: Source, scope: Scope, now: float) -> set[str]:
    """The extended resources that notebooks requested within a day."""
    found = set()
    for form in scope.spellings_of_state:
        selector = form.state_selector(f'resource!~"cpu|memory|{ksm.NOT_SIZES}"')
        series = f"kube_pod_container_resource_requests{selector}{_DAY}"
        query = f"group by (resource) (last_over_time({series}) > 0)"
        found |= {labels.get("resource", "") for labels, _ in source.vector(query, now)}
    return found - {""}


def _node_labels(source: Source, scope: Scope, now: float) -> set[str]:
    """The names of all labels of nodes that kube-state-metrics shows."""
    query = f"last_over_time(kube_node_labels{scope.selector()}{_DAY})"
    rows = source.vector(query, now)
    return {name for labels, _ in rows for name, text in labels.items() if text}


def _is_untold(resource: str, kinds: Kinds, labels: set[str]) -> bool:
    kind = kinds.of(resource)
    if not resource.endswith(_SHARED) or (kind and kind.share is not None):
        return False
    return f"label_{resource.removesuffix(_SHARED)}_replicas" not in labels
