"""The spawner for D4Science: a server in one of its virtual research environments (VREs).

The authenticator leaves in auth_state, beside the usual tokens:

- ``context``: the VRE's full name, as ``/d4science.research-infrastructures.eu/D4Research/Lab``;
- ``context_token``: the user's token for it;
- ``profiles``: the environments that it offers to the user, as KubeSpawner's profiles;
- ``volumes``: the names of its volumes, each with whether the user may write.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from traitlets import Dict, TraitError, Unicode, default, validate

from hub.spawner.egi import EGISpawner
from hub.spawner.manifests import Manifest, Parts, literal
from hub.spawner.profiles import Profile

CONTEXT = "d4science_context"
"""The annotation that D4Science's own accounting reads."""

TOKEN = "d4science_token"  # noqa: S105 - the key in the Secret
WORKSPACE = "d4science-workspace"

_FROM_OUTSIDE = frozenset({"image", "cpu_limit", "cpu_guarantee", "mem_limit", "mem_guarantee"})


def safe_profiles(profiles: Iterable[Profile]) -> list[Profile]:
    """Profiles reduced to what an information system may set: image, CPU and memory."""
    return [
        {
            **profile,
            "kubespawner_override": {
                key: value
                for key, value in profile.get("kubespawner_override", {}).items()
                if key in _FROM_OUTSIDE
            },
        }
        for profile in profiles
    ]


def with_context(parts: Parts, context: str, secret: str) -> Parts:
    """Tell notebook, side-cars and accounting the VRE, and the notebook its token.

    The token comes from the Secret, so that it stands in no manifest.
    """
    token = {"valueFrom": {"secretKeyRef": {"name": secret, "key": TOKEN, "optional": True}}}
    name = literal(context)
    environment = {
        **parts.environment,
        "D4SCIENCE_TOKEN": token,
        "GCUBE_TOKEN": token,
        "D4SCIENCE_CONTEXT": name,
        "GCUBE_CONTEXT": name,
        "VRE": literal(context.rpartition("/")[2]),
    }
    annotations = {**parts.extra_annotations, CONTEXT: name}
    return replace(parts, environment=environment, extra_annotations=annotations)


def with_volumes(
    parts: Parts, volumes: Mapping[str, bool], mappings: Mapping[str, Manifest]
) -> Parts:
    """Mount the VRE's volumes that the configuration maps; those with True are writable."""
    added, mounts = [], []
    for number, (name, writable) in enumerate(sorted(volumes.items())):
        if name in mappings:
            volume = f"d4science-{number}"
            added.append({**mappings[name]["volume"], "name": volume})
            path = mappings[name]["mount_path"]
            mounts.append({"name": volume, "mountPath": path, "readOnly": not writable})
    return replace(
        parts,
        volumes=(*parts.volumes, *added),
        volume_mounts=(*parts.volume_mounts, *mounts),
    )


def with_workspace(parts: Parts, image: str, path: str, secret: str) -> Parts:
    """Add a side-car that mounts the user's D4Science workspace, visible to the notebook."""
    reference = {"name": secret, "key": TOKEN, "optional": True}
    mount = {"name": WORKSPACE, "mountPath": path}
    sidecar = {
        "name": WORKSPACE,
        "image": image,
        "securityContext": {"privileged": True, "runAsUser": 1000},
        "env": [
            {"name": "MNTPATH", "value": path},
            {"name": "GCUBE_TOKEN", "valueFrom": {"secretKeyRef": reference}},
        ],
        "volumeMounts": [{**mount, "mountPropagation": "Bidirectional"}],
        "lifecycle": {"preStop": {"exec": {"command": ["fusermount", "-uz", path]}}},
    }
    return replace(
        parts,
        volumes=(*parts.volumes, {"name": WORKSPACE, "emptyDir": {}}),
        volume_mounts=(
            *parts.volume_mounts,
            {**mount, "mountPropagation": "HostToContainer"},
        ),
        extra_containers=(*parts.extra_containers, sidecar),
    )


class D4ScienceSpawner(EGISpawner):
    """Notebook servers in a VRE of D4Science."""

    sidecar_image = Unicode(
        help="""The image of a side-car that mounts the user's workspace; empty for none.

        It runs privileged, finds the token in `GCUBE_TOKEN` and the place in `MNTPATH`.
        """,
    ).tag(config=True)

    workspace_path = Unicode(
        "/workspace",
        help="""Where the notebook sees the user's workspace.""",
    ).tag(config=True)

    volume_mappings = Dict(
        help="""What a volume of the VRE is in this cluster, by its name.

        Each is a mapping with `mount_path`, and `volume`: a volume of a pod, without its name.
        """,
    ).tag(config=True)

    @validate("volume_mappings")
    def _valid_mappings(self, proposal: Any) -> dict[str, Manifest]:
        for name, mapping in proposal.value.items():
            if set(mapping) != {"mount_path", "volume"}:
                raise TraitError(
                    f"{type(self).__name__}.volume_mappings[{name!r}] needs 'mount_path' and "
                    f"'volume', and nothing else"
                )
        return dict(proposal.value)

    @default("profile_list")
    def _default_profile_list(self) -> Any:
        return self._profiles_of_the_vre

    async def _profiles_of_the_vre(self, _spawner: EGISpawner) -> list[Profile]:
        return safe_profiles((await self._auth_state()).get("profiles") or ())

    def _tokens(self, state: Mapping[str, Any]) -> dict[str, str]:
        return {**super()._tokens(state), TOKEN: state.get("context_token") or ""}

    def _added(self, parts: Parts, state: Mapping[str, Any]) -> Parts:
        parts = super()._added(parts, state)
        secret = self.token_secret_name
        if state.get("context"):
            parts = with_context(parts, state["context"], secret)
        parts = with_volumes(parts, state.get("volumes") or {}, self.volume_mappings)
        if self.sidecar_image and state.get("context_token"):
            parts = with_workspace(parts, self.sidecar_image, self.workspace_path, secret)
        return parts
