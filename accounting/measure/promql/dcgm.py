"""Queries of DCGM: what NVIDIA's devices did."""

from collections.abc import Iterable

from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope, one_of, quote, span
from accounting.model.time import Window

DCGM_ENGINE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
DCGM_UTIL = "DCGM_FI_DEV_GPU_UTIL"
DCGM_ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


def device_use(scope: Scope, window: Window, pods: Iterable[str], *, exported: bool) -> str:
    """Raw samples of what DCGM says of the devices of some pods, in one of the two spellings.

    dcgm-exporter is usually scraped without honouring labels, and its exporters may differ in that.
    """
    name = f'__name__=~"{DCGM_ENGINE}|{DCGM_UTIL}|{DCGM_ENERGY}"'
    prefix, other = ("exported_", "") if exported else ("", 'exported_pod=""')
    place = f"{prefix}namespace={quote(scope.namespace)}"
    selector = scope.selector(name, place, one_of(f"{prefix}pod", pods), other)
    return selector + span(scope, window, RESET_LOOKBACK_SECONDS)
