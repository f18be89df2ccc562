"""KubeSpawner with one home for each user, whatever their servers are called."""

from typing import Any
from weakref import WeakKeyDictionary

from kubespawner.slugs import escape_slug, is_valid_label, safe_slug
from traitlets import List, Unicode, default

from hub.spawner import home
from hub.spawner.cluster import Cluster, ClusterError
from hub.spawner.manifests import OWNER
from hub.spawner.refusal import refusal
from hub.spawner.watching import WatchingSpawner

_HOME_GOES = (
    "Your home is being deleted, so your server cannot start. Stop your other servers and try again"
    " in a minute; if you did not ask for it, tell the operators of this service at once."
)


def owner(name: str, releases: tuple[str, ...] = ()) -> home.Owner:
    """A user as claims name them, by KubeSpawner 7 and by its earlier versions."""
    return home.Owner(name, (owner_label(name), escape_slug(name)), releases)


def owner_label(name: str) -> str:
    """A user's name as the label of a claim has it."""
    return str(safe_slug(name, is_valid=is_valid_label))


class HomeSpawner(WatchingSpawner):
    """Finds the claim of the user's home before each start, and names a new one."""

    legacy_pvc_name_templates = List(
        Unicode(),
        list(home.LEGACY),
        help="""What a user's home may be called if `pvc_name_template` does not name it.

        Claims that this spawner made are found by their label, however the names have changed
        since. These names are for claims that carry no label with the user's name.
        """,
    ).tag(config=True)

    earlier_releases = List(
        Unicode(),
        help="""Helm releases by which this hub was installed before.

        Zero to JupyterHub labels claims with the release. A claim of another release belongs to
        another hub in the namespace, and is not taken unless the hub's database or this names it.
        """,
    ).tag(config=True)

    @default("pvc_name_template")
    def _default_pvc_name_template(self) -> str:
        return home.USUAL

    @default("delete_pvc")
    def _default_delete_pvc(self) -> bool:
        return False  # a user's data outlives the hub's account until the operator says otherwise

    @default("remember_pvc_name")
    def _default_remember_pvc_name(self) -> bool:
        return False  # what the hub's database knows is one of the names that are looked up

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pvc_name = self._home_name()

    async def _settle(self) -> None:
        """Find the home, or choose a name for a new one.

        Raises:
            ClusterError: it cannot be known whether there is one.
            HTTPError: 503, the home is being deleted.
        """
        cluster = self._cluster()
        found = await self._find_home(cluster)
        if found.home:
            await self._note_home(cluster, found.home)
            self.pvc_name = found.home.name
        else:
            self._note_no_home(found)
            self.pvc_name = await home.free_name(cluster, self._owner(), self._home_name())
        self._pvc_exists = found.home is not None

    async def _is_at_home(self) -> bool:
        """Whether there is a home; `pvc_name` names it then."""
        found = (await self._find_home(self._cluster())).home
        if found:
            self.pvc_name = found.name
        return found is not None

    async def _find_home(self, cluster: Cluster) -> home.Found:
        selector = f"{home.STORAGE},{OWNER}={self._owner_label()}"
        legacy = (self._home_name(template) for template in self.legacy_pvc_name_templates)
        names = home.Names(self._remembered_homes(), self._home_name(), tuple(legacy))
        owners = _OWNERS.setdefault(self.api, {}).setdefault(self.namespace, home.Owners())
        return await home.find(
            cluster, self._owner(), selector, names, lambda age: owners.list(cluster, age)
        )

    def _owner(self) -> home.Owner:
        release = self.common_labels.get("release")
        return owner(self.user.name, (release, *self.earlier_releases) if release else ())

    def _remembered_homes(self) -> tuple[str, ...]:
        """The claims that the user's servers have mounted, as the hub's database keeps them."""
        servers = self.user.orm_user.orm_spawners
        states = (servers[name].state or {} for name in sorted(servers))
        return tuple(dict.fromkeys(state["pvc_name"] for state in states if state.get("pvc_name")))

    def _note_no_home(self, found: home.Found) -> None:
        """Say why a new home is made; a home that is being deleted is not replaced silently."""
        if found.deleted:
            self.log.error(
                "The home of %s is being deleted: %s", self._log_name, ", ".join(found.deleted)
            )
            raise refusal(503, _HOME_GOES, reason="home")
        if found.foreign:
            self.log.warning(
                "%s has a claim of another release: %s; if that was this hub, set"
                " EGISpawner.earlier_releases",
                self._log_name,
                ", ".join(found.foreign),
            )
        if found.renamed:
            self.log.warning(
                "The servers of %s had the claim %s, which has another user's name on it and is not"
                " taken; if the user was renamed, write the new name into its annotation %s",
                self._log_name,
                ", ".join(found.renamed),
                OWNER,
            )
        gone = [name for name in self._remembered_homes() if name not in found.renamed]
        remembered = ", ".join(gone)
        if remembered and self.storage_pvc_ensure:
            self.log.warning("The home of %s is gone: %s", self._log_name, remembered)
        self.log.info("There is no home of %s yet: making one", self._log_name)

    async def _note_home(self, cluster: Cluster, found: home.Home) -> None:
        """Label the user's claims, so that they are found at once; warn of unused ones."""
        if found.others:
            self.log.warning(
                "%s has several homes: %s is used, %s not; merge or delete those",
                self._log_name,
                found.name,
                ", ".join(found.others),
            )
        for name in found.unlabelled:
            try:
                await cluster.label_claim(name, {OWNER: self._owner_label()})
            except ClusterError as exc:
                self.log.warning("The claim %s keeps no label of its user: %s", name, exc)

    def _home_name(self, template: str = "") -> str:
        plain = home.without_server(template or self.pvc_name_template)
        return str(self._expand_user_properties(plain))

    def _owner_label(self) -> str:
        return owner_label(self.user.name)

    def get_pvc_manifest(self) -> Any:
        """The claim of the home: it carries the user's label, and no server's name."""
        claim = super().get_pvc_manifest()
        claim.metadata.labels[OWNER] = self._owner_label()
        claim.metadata.annotations.pop("hub.jupyter.org/servername", None)
        return claim

    def _cluster(self) -> Cluster:
        return Cluster(
            self.api,
            self.namespace,
            request_seconds=self.k8s_api_request_timeout,
            retry_seconds=self.k8s_api_request_retry_timeout,
        )


_OWNERS: "WeakKeyDictionary[Any, dict[str, home.Owners]]" = WeakKeyDictionary()
"""One listing for all spawners of a namespace, by the client that they share."""
