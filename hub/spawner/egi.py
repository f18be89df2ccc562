"""KubeSpawner with one home per user, fresh tokens, profiles by VO, annotations for accounting."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubespawner.slugs import is_valid_label, safe_slug
from traitlets import Bool, Dict, List, TraitError, Unicode, default, validate

from hub.spawner import home, token_secret
from hub.spawner.cluster import ClusterError
from hub.spawner.cvmfs import cvmfs_addition, wrong_cvmfs
from hub.spawner.datahub import TOKEN as DATAHUB_TOKEN
from hub.spawner.datahub import DataHubError, temporary_token, with_datahub, wrong_datahub
from hub.spawner.home_spawner import HomeSpawner
from hub.spawner.manifests import (
    OWNER,
    Manifest,
    Parts,
    plain,
    with_additions,
    with_annotations,
    with_home,
    with_tokens,
    wrong_addition,
)
from hub.spawner.profiles import Profile, names_of, open_profiles
from hub.spawner.refusal import refusal

USER_ID = "egi.eu/userid"
"""The label that tells users apart: short, valid for any user's name, and not personal."""

_NOTHING_OPEN = (
    "None of this service's environments is open to you: join one of the virtual organisations "
    "that it serves, then log in again."
)
_NO_CHOICE = "A choice for this environment does not exist (any more). Choose again."
_NO_CLUSTER = (
    "Your server cannot start now: the cluster did not answer as it should. Try again in a "
    "minute; if it stays so, tell the operators of this service."
)
_LISTS = ("volumes", "volume_mounts", "init_containers", "extra_containers")


class EGISpawner(HomeSpawner):
    """Notebook servers of EGI Notebooks, as pods."""

    user_options: Any  # JupyterHub's trait

    token_secret_name_template = Unicode(
        "access-token-{userid}",
        help="""The name of the Secret with a user's tokens.

        Every hub that spawns in the same namespace needs names of its own.
        """,
    ).tag(config=True)

    token_mount_path = Unicode(
        "/var/run/secrets/egi.eu/",
        help="""Where the user's tokens are mounted, as files `access_token` and `id_token`.

        The notebook finds this path in `SECRETS_MOUNT_PATH`.
        """,
    ).tag(config=True)

    token_secret_volume_name_template = Unicode(
        "secret-{userid}",
        help="""The name of the pod's volume with the tokens, for side-cars.

        The notebook's own volume has `-user` after it.
        """,
    ).tag(config=True)

    mount_secrets_volume = Bool(
        default_value=False,
        help="""Whether the notebook sees the user's tokens (read-only).

        Then visitors of a shared server see them, too: set it where no server is shared. If not,
        the notebook gets tokens from the service `hub.services.sharing`, and finds an empty folder
        in memory at the same path. Side-cars (`extra_containers`, and init containers with
        `restartPolicy: Always`) see the tokens always. The notebook finds the answer, `1` or `0`,
        in `SECRETS_VOLUME_MOUNTED`.
        """,
    ).tag(config=True)

    entitlement_sources = List(
        Unicode(),
        ["urn:mace:egi.eu#aai.egi.eu", "urn:mace:egi.eu#aai-demo.egi.eu"],
        help="""Whose entitlements tell of a user's VOs: namespaces and authorities.

        `vo_claims` names a VO that `<namespace>:group:<vo>…#<authority>` tells of, with one of
        these; `*` stands for any text. Entitlements of others open only what names them whole: a
        provider also passes on what a user's own institution says.
        """,
    ).tag(config=True)

    additions = List(
        Dict(),
        help="""Volumes, side-cars, environment and annotations for some profiles or VOs.

        Each is a mapping. `vo_claims` lists groups or VOs and `profiles` the profiles' slugs that
        it is for (without them it is for all). It brings `volumes`, `volume_mounts`,
        `init_containers`, `extra_containers` (lists), `environment` and `extra_annotations`
        (mappings), as KubeSpawner's settings of these names have them.
        """,
    ).tag(config=True)

    cvmfs = Dict(
        help="""CVMFS in the notebooks, read-only; nothing is mounted if it is empty.

        Keys: `claim`, a PersistentVolumeClaim of the CSI driver `cvmfs.csi.cern.ch` (`cvmfs`);
        `path`, where it is mounted (`/cvmfs`); `repositories`, which are mounted, each below the
        path (without it all are, when they are used); `vo_claims` and `profiles`, as for
        `additions`. The chart's value `jupyterhub.custom.cvmfs` sets it and makes the claim.
        """,
    ).tag(config=True)

    datahub = Dict(
        help="""Onedata (EGI DataHub), where each server gets a token of its user's; empty: none.

        Keys: `onezone`, its URL; `oneprovider`, the host of the provider that serves the data;
        `prefix`, what Onezone expects before an access token (`egi:`). The token is made at each
        start and holds for seven days. Side-cars find it as the file `onedata_token` beside the
        other tokens. The notebook finds it in `ONECLIENT_ACCESS_TOKEN`, with
        `mount_secrets_volume` only.
        """,
    ).tag(config=True)

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return _taken_by_profiles  # else JupyterHub warns at each start that nobody takes them

    @validate("entitlement_sources")
    def _valid_sources(self, proposal: Any) -> list[str]:
        for source in proposal.value:
            if "#" not in source:
                raise TraitError(
                    f"{type(self).__name__}.entitlement_sources: {source!r} has no authority: write"
                    " NAMESPACE#AUTHORITY, or NAMESPACE# for entitlements without one"
                )
        return list(proposal.value)

    @validate("additions")
    def _valid_additions(self, proposal: Any) -> list[Manifest]:
        for number, addition in enumerate(proposal.value):
            wrong = wrong_addition(addition)
            if wrong:
                raise TraitError(f"{type(self).__name__}.additions[{number}]: {wrong}")
        return list(proposal.value)

    @validate("datahub")
    def _valid_datahub(self, proposal: Any) -> Manifest:
        wrong = wrong_datahub(proposal.value) if proposal.value else ""
        if wrong:
            raise TraitError(f"{type(self).__name__}.datahub: {wrong}")
        return dict(proposal.value)

    @validate("cvmfs")
    def _valid_cvmfs(self, proposal: Any) -> Manifest:
        wrong = wrong_cvmfs(proposal.value)
        if wrong:
            raise TraitError(f"{type(self).__name__}.cvmfs: {wrong}")
        return dict(proposal.value)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.token_secret_name = self._expand_user_properties(self.token_secret_name_template)
        self._flavor = ""
        self._open_slugs: list[str] = []

    # Tokens

    async def set_tokens(self, access_token: str, id_token: str) -> None:
        """Put fresh tokens where the user's servers see them; running ones within a minute or so.

        An empty token leaves what is there.

        Raises:
            ClusterError: the Secret could not be read or written. Nothing was lost.
        """
        await self._save({"access_token": access_token, "id_token": id_token})

    def _tokens(self, state: Mapping[str, Any]) -> dict[str, str]:
        """What of auth_state goes into the Secret."""
        return {key: state.get(key) or "" for key in ("access_token", "id_token")}

    async def _save(self, tokens: Mapping[str, str]) -> None:
        await token_secret.save(self._cluster(), self._token_secret(), tokens)

    def _token_secret(self) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.token_secret_name,
                "labels": self._build_common_labels({"component": "singleuser-tokens"}),
                "annotations": {OWNER: self.user.name},
            },
            "type": "Opaque",
        }

    # Profiles

    @default("options_form")
    def _options_form_default(self) -> Any:
        # always rendered anew: what is open to a user changes with their groups
        return self._render_open_profiles if self.profile_list else ""

    async def _render_open_profiles(self, spawner: "EGISpawner") -> str:
        if callable(self.profile_list):
            return str(await self._render_options_form_dynamically(spawner))
        return self._render_options_form(self._sorted_dict_values(self.profile_list))

    def _render_options_form(self, profile_list: list[Profile]) -> str:
        self._get_initialized_profile_list(profile_list)
        if self.user_options.get("profile") not in self._open_slugs:
            self.user_options = {}  # the choice of last time is not open any more
        return str(super()._render_options_form(profile_list))

    def _get_initialized_profile_list(self, profile_list: list[Profile]) -> list[Profile]:
        every = super()._get_initialized_profile_list(profile_list)
        found = open_profiles(every, self._names())
        self._open_slugs = [profile["slug"] for profile in found]
        if every and not found:
            raise refusal(403, _NOTHING_OPEN, reason="profile")
        return found

    async def load_user_options(self) -> None:
        """Apply the chosen profile, find the home, and see that the tokens are there."""
        chosen = self.user_options.get("profile")
        self._flavor = ""
        try:
            await super().load_user_options()
        except (ValueError, KeyError) as exc:
            self.log.warning("The choice of %s is refused: %s", self._log_name, exc)
            raise self._refused_choice(chosen) from exc
        if self.enable_user_namespaces:
            await self._ensure_namespace()
        try:
            await self._prepare()
        except ClusterError as exc:
            self.log.error("Cannot start %s: %s", self._log_name, exc)  # noqa: TRY400 - all is said
            raise refusal(503, _NO_CLUSTER, reason="cluster") from exc

    def _refused_choice(self, chosen: str | None) -> Exception:
        if chosen and chosen not in self._open_slugs:
            names = ", ".join(self._open_slugs)
            message = f"The environment {chosen!r} is not open to you. Choose one of: {names}."
            return refusal(403, message, reason="profile")
        return refusal(400, _NO_CHOICE, reason="profile")

    def _get_profile(self, slug: str | None, profile_list: list[Profile]) -> Profile:
        profile: Profile = super()._get_profile(slug, profile_list)
        self._flavor = profile["slug"]
        return profile

    def _names(self) -> frozenset[str]:
        """The user's groups, and the VOs that they tell of."""
        return names_of((group.name for group in self.user.groups), self.entitlement_sources)

    # The pod

    async def _prepare(self) -> None:
        await self._settle()
        state = await self._auth_state()
        tokens = {**self._tokens(state), DATAHUB_TOKEN: await self._datahub_token(state)}
        if any(tokens.values()):
            await self._save(tokens)

    async def _datahub_token(self, state: Mapping[str, Any]) -> str:
        """A token of Onedata; empty without one: servers start while DataHub is away."""
        if not self.datahub or not state.get("access_token"):
            return ""
        try:
            return await temporary_token(self.datahub, state["access_token"], time.time())
        except DataHubError as exc:
            self.log.warning("%s starts without a token of DataHub: %s", self._log_name, exc)
            return ""

    async def get_pod_manifest(self) -> Any:
        """KubeSpawner's pod, with the home, the tokens, the additions and the annotations."""
        parts = self._parts(await self._auth_state())
        with self._settings(parts):
            return await super().get_pod_manifest()

    def _parts(self, state: Mapping[str, Any]) -> Parts:
        configured = {
            name: tuple(plain(part) for part in self._sorted_dict_values(getattr(self, name)))
            for name in _LISTS
        }
        parts = Parts(
            **configured,
            environment=dict(self.environment),
            extra_annotations=dict(self.extra_annotations),
        )
        if self.datahub:
            secret, shown = self.token_secret_name, self.mount_secrets_volume
            parts = with_datahub(parts, self.datahub, secret, shown=shown)
        parts = self._added(parts, state)
        usual = self._home_name()
        parts = with_home(parts, self.pvc_name, lambda name: self._home_name(name) == usual)
        parts = with_tokens(
            parts,
            self.token_secret_name,
            self.token_secret_volume_name_template,
            self.token_mount_path,
            shown=self.mount_secrets_volume,
        )
        group = state.get("primary_group") or ""
        return with_annotations(parts, self.user.name, group, self._flavor)

    def _added(self, parts: Parts, _state: Mapping[str, Any]) -> Parts:
        """Add what only some servers get."""
        additions = [cvmfs_addition(self.cvmfs), *self.additions]
        return with_additions(parts, additions, self._names(), self._flavor)

    @contextmanager
    def _settings(self, parts: Parts) -> Iterator[None]:
        """Set KubeSpawner's settings to `parts` for one manifest, then restore them."""
        before = {name: getattr(self, name) for name in Parts.__dataclass_fields__}
        try:
            for name in before:
                value = getattr(parts, name)
                setattr(self, name, list(value) if name in _LISTS else dict(value))
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    def _build_common_labels(self, extra_labels: Mapping[str, str]) -> dict[str, str]:
        labels = super()._build_common_labels(extra_labels)
        labels.pop(OWNER, None)
        labels[USER_ID] = str(self.user.id)
        return {key: _label(value) for key, value in labels.items()}

    async def delete_forever(self) -> None:
        """Forget a named server, or with the default server the user.

        A named server's home and tokens are the user's, and stay. With the user go the tokens,
        and the home if `delete_pvc` says so.
        """
        if self.name:
            self.log.info("Keeping the home of %s", self._log_name)
            return
        cluster = self._cluster()
        secret = await cluster.secret(self.token_secret_name)
        if secret and home.owner_of(secret) == self.user.name:
            await cluster.delete_secret(self.token_secret_name)
        if self.delete_pvc and await self._is_at_home():
            await super().delete_forever()

    async def _auth_state(self) -> Mapping[str, Any]:
        return await self.user.get_auth_state() or {}


def _taken_by_profiles(_spawner: EGISpawner, _options: Mapping[str, Any]) -> None:
    """KubeSpawner applies the choice of the form in `load_user_options`."""


def _label(value: str) -> str:
    if not value or is_valid_label(value):
        return value
    return str(safe_slug(value, is_valid=is_valid_label))
