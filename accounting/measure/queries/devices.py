"""What nodes and DCGM say of the accelerators that pods hold."""

from collections.abc import Iterable, Mapping

from accounting.measure.promql import ksm
from accounting.measure.source.querier import Querier
from accounting.measure.usage.podnames import PodNames
from accounting.measure.usage.samples import Samples, label
from accounting.measure.usage.uses import merge_uses
from accounting.model.accelerators import Surroundings
from accounting.model.pods import Account
from accounting.model.time import Window

_DAY = 86400
_NODE = ("exported_node", "node")


class DeviceQuery:
    """Asks about pods that hold accelerators, which are few; and for claims.

    Args:
        querier: whom to ask.
        window: about what.
    """

    def __init__(self, querier: Querier, window: Window) -> None:
        self._to = querier
        self._window = window
        self._claims = querier.ask(ksm.claims, window)

    def read(self, found: Samples, accounts: Mapping[str, Account], names: PodNames) -> None:
        """Add to ``found`` what stands beside requests, and the use of whole days so far."""
        claims = self._read_claims(found)
        holders = {
            uid for uid in found.sightings if uid in accounts and accounts[uid].pod.has_accelerators
        } | {uid for uid, r in found.resources.items() if r.accelerators}
        new = {
            uid for uid in holders | claims.keys() if not _is_described(accounts.get(uid))
        } & found.sightings.keys()
        labels = self._labels(new & holders)
        for uid in new:
            around = Surroundings(labels.get(uid, ()), claims.get(uid, ()))
            if around:
                found.surroundings[uid] = around
        pods = {found.sightings[uid].name for uid in holders & found.sightings.keys()}
        # DCGM may be scraped once more after a pod was last listed, in the next window.
        pods |= {
            accounts[uid].pod.name
            for uid in accounts.keys() - found.sightings.keys()
            if accounts[uid].pod.has_accelerators
        }
        self._read_uses(found, pods, names)

    def _read_claims(self, found: Samples) -> dict[str, tuple[str, ...]]:
        claims: dict[str, set[str]] = {}
        for labels, _ in self._claims.read():
            uid = labels.get("uid", "")
            told = (labels.get(f"resourceclaim_{name}") for name in ("template_name", "name"))
            name = next((name for name in told if name), labels.get("claim_name", ""))
            if name and uid in found.sightings:
                claims.setdefault(uid, set()).add(name)
        return {uid: tuple(sorted(names)) for uid, names in claims.items()}

    def _labels(self, uids: Iterable[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        """Of pods' nodes, those labels that tell of devices."""
        node_of: dict[str, str] = {}
        for labels, _ in self._to.named(ksm.pods_of_nodes, self._window, uids).read():
            if node := label(labels, "node"):
                node_of[labels.get("uid", "")] = node
        if not node_of:
            return {}
        told = {
            label(labels, "node"): tuple(
                sorted(
                    (name.removeprefix("label_"), text)
                    for name, text in labels.items()
                    if _tells_of_devices(name)
                )
            )
            for labels, _ in self._to.ask(ksm.node_labels, self._window).read()
        }
        return {uid: told[node] for uid, node in node_of.items() if node in told}

    def _read_uses(self, found: Samples, pods: set[str], names: PodNames) -> None:
        window = self._window
        for day in range(window.start // _DAY, (window.end - 1) // _DAY + 1) if pods else ():
            so_far = Window(day * _DAY, min(window.end, (day + 1) * _DAY))
            merge_uses(found, self._to.raw_devices(so_far, pods), day, names.at)


def _is_described(account: Account | None) -> bool:
    return account is not None and bool(account.pod.surroundings)


def _tells_of_devices(name: str) -> bool:
    words = ("gpu", "_mig_", "accelerator")
    kinds = ("product", "product_name", "replicas", "accelerator")
    return name.startswith("label_") and any(w in name for w in words) and name.endswith(kinds)
