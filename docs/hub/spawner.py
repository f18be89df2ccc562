# noqa: INP001 - a part of jupyterhub_config.py
"""Servers as pods: one home for each user, tokens, profiles by VO, words for the accounting."""

c = get_config()  # noqa: F821 - JupyterHub provides it

c.JupyterHub.spawner_class = "egi-spawner"
c.JupyterHub.allow_named_servers = True

# The home: one claim for each user, whatever their servers are called.
c.EGISpawner.storage_pvc_ensure = True
c.EGISpawner.storage_capacity = "20Gi"
c.EGISpawner.volumes = [
    {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}},
]
c.EGISpawner.volume_mounts = [
    {"name": "home", "mountPath": "/home/jovyan"},
]

# The notebook finds its user's tokens below $SECRETS_MOUNT_PATH. Not where servers are shared: a
# visitor would find them, too.
c.EGISpawner.mount_secrets_volume = True

# `vo_claims` lists VOs, or whole entitlements; a profile without it is for everyone. The slug is
# what the accounting calls the flavor.
c.EGISpawner.profile_list = [
    {
        "display_name": "Small",
        "slug": "small",
        "description": "1 core, 2 GB",
        "kubespawner_override": {"cpu_guarantee": 1, "mem_guarantee": "2G"},
    },
    {
        "display_name": "Large",
        "slug": "large",
        "description": "8 cores, 32 GB, for members of vo.example.org",
        "vo_claims": ["vo.example.org"],
        "kubespawner_override": {"cpu_guarantee": 8, "mem_guarantee": "32G"},
    },
]
