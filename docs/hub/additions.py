# noqa: INP001 - a part of jupyterhub_config.py
"""What communities add: CVMFS, WebDAV by rclone, and DataHub (Onedata), by VO or by profile."""

c = get_config()  # noqa: F821 - JupyterHub provides it

# CVMFS for all, read-only: a claim of the CSI driver cvmfs.csi.cern.ch, made once in the namespace.
# With the chart, write jupyterhub.custom.cvmfs.enabled instead: it makes the claim, too.
c.EGISpawner.cvmfs = {"claim": "cvmfs"}

# A side-car mounts by FUSE into an empty volume, and the notebook sees the mount: that needs a
# privileged side-car, and the notebook stays as it is.
fuse = {"privileged": True, "runAsUser": 0}

# WebDAV for one VO. rclone reads the user's token anew for each request, so it never gets old.
webdav = {
    "vo_claims": ["vo.example.org"],
    "volumes": [{"name": "webdav", "emptyDir": {}}],
    "volume_mounts": [
        {
            "name": "webdav",
            "mountPath": "/home/jovyan/webdav",
            "mountPropagation": "HostToContainer",
        },
    ],
    "extra_containers": [
        {
            "name": "webdav",
            "image": "rclone/rclone:1",
            "args": [
                "mount",
                ":webdav:",
                "/mnt/webdav",
                "--allow-other",
                "--vfs-cache-mode=writes",
                "--webdav-url=https://webdav.example.org/",
                "--webdav-bearer-token-command=cat /var/run/secrets/egi.eu/access_token",
            ],
            "securityContext": fuse,
            "volumeMounts": [
                {
                    "name": "webdav",
                    "mountPath": "/mnt/webdav",
                    "mountPropagation": "Bidirectional",
                },
            ],
        },
    ],
}

# DataHub for one profile. At each start the hub gets a token of Onedata for the user, and the
# side-car reads it. A client in the notebook itself finds it only with `mount_secrets_volume`.
c.EGISpawner.datahub = {
    "onezone": "https://datahub.egi.eu",
    "oneprovider": "oneprovider.example.org",
}
oneclient = """
exec oneclient -f -H "$ONECLIENT_PROVIDER_HOST" \\
    -t "$(cat /var/run/secrets/egi.eu/onedata_token)" /mnt/datahub
"""
datahub = {
    "profiles": ["large"],
    "volumes": [{"name": "datahub", "emptyDir": {}}],
    "volume_mounts": [
        {
            "name": "datahub",
            "mountPath": "/home/jovyan/datahub",
            "mountPropagation": "HostToContainer",
        },
    ],
    "extra_containers": [
        {
            "name": "datahub",
            "image": "onedata/oneclient:21.02.8",
            "command": ["sh", "-c"],
            "args": [oneclient],
            "env": [{"name": "ONECLIENT_PROVIDER_HOST", "value": "oneprovider.example.org"}],
            "securityContext": fuse,
            "volumeMounts": [
                {
                    "name": "datahub",
                    "mountPath": "/mnt/datahub",
                    "mountPropagation": "Bidirectional",
                },
            ],
        },
    ],
}

c.EGISpawner.additions = [webdav, datahub]
