# syntax=docker/dockerfile:1
# Images of EGI Notebooks: docker build --target accounting .
# A base is pinned for good by its digest beside its tag. scripts/digests writes the digests where the
# registries can be reached; a release is refused while one is missing.
# Targets: accounting, hub, monitor, backup, and for notebooks single-user, of one of four kinds. None
# keeps a build tool or runs as root; all but those for notebooks, which write, run with a read-only root
# file system.

# As in pyproject.toml.
ARG VERSION=0.1.0
ARG PYTHON_IMAGE=python:3.13.14-slim-trixie@sha256:6771159cd4fa5d9bba1258caf0b82e6b73458c694d178ad97c5e925c2d0e1a91
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.0@sha256:cdc6093146eb3ff6a40107b38f008b789e050e77ad87865e381d9917da55a168
# As in the chart jupyterhub of chart/egi-notebooks.
ARG HUB_IMAGE=quay.io/jupyterhub/k8s-hub:4.4.2@sha256:108fbb01c3fe23e4a81efc8899aa73b4c15413615c73dfcdc44248eb63096e41
ARG BASE_NOTEBOOK_IMAGE=quay.io/jupyter/minimal-notebook:2026-08-24
ARG SINGLE_USER_IMAGE=quay.io/jupyter/datascience-notebook:2026-08-24
ARG R_NOTEBOOK_IMAGE=quay.io/jupyter/r-notebook:2026-08-24
ARG NOTEBOOK=data-science
ARG ML_NOTEBOOK_IMAGE=quay.io/jupyter/pytorch-notebook:cuda12-2026-08-03@sha256:69c72823a4e0dbee17114bbe44d0377bc9a39504a76f6314995f7d5bfaa98d60

FROM ${UV_IMAGE} AS uv

# This project as a wheel. SOURCE_DATE_EPOCH is the time of all that is made, here and below: with it,
# compiled modules bear the hash of their source instead of its time, and two builds are the same.
FROM ${PYTHON_IMAGE} AS package
ARG SOURCE_DATE_EPOCH=1767225600
ENV UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY pyproject.toml README.md LICENSE requirements/service.lock ./
COPY accounting accounting
COPY hub hub
COPY legacy legacy
COPY migrations migrations
COPY notebooks_settings notebooks_settings
COPY ssm ssm
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    uv build --wheel --build-constraints service.lock --require-hashes --out-dir /dist

# What the service needs, as locked; without what only builds.
FROM ${PYTHON_IMAGE} AS service
ARG COMPILE_BYTECODE=1
ARG LINK_MODE=copy
# "no" leaves out what exports to Parquet need, which is half of the image.
ARG PARQUET=yes
ARG SOURCE_DATE_EPOCH=1767225600
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=${LINK_MODE} UV_COMPILE_BYTECODE=${COMPILE_BYTECODE}
WORKDIR /src
COPY requirements/service.lock ./
# The lock names everything: nothing is left to resolve.
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    uv venv /opt/notebooks \
    && uv pip install --python /opt/notebooks --no-deps --require-hashes --requirements service.lock \
    && uv pip uninstall --python /opt/notebooks \
        editables hatchling pathspec pluggy trove-classifiers \
    && if [ "$PARQUET" = no ]; then uv pip uninstall --python /opt/notebooks pyarrow; fi
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=package,source=/dist,target=/dist \
    uv pip install --python /opt/notebooks --link-mode copy --no-deps --no-cache \
        /dist/notebooks_accounting-*.whl \
    && find /opt/notebooks -name uv_cache.json -delete \
    && sed -i /uv_cache.json/d /opt/notebooks/lib/python*/site-packages/notebooks_*.dist-info/RECORD

# The same, and what hub/ needs beside it.
FROM service AS programs
ARG SOURCE_DATE_EPOCH=1767225600
COPY requirements/hub6.lock ./
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip install --python /opt/notebooks --no-deps --require-hashes --requirements hub6.lock

# What the backup needs: no JupyterHub, and nothing of what accounting needs.
FROM ${PYTHON_IMAGE} AS backup-programs
ARG COMPILE_BYTECODE=1
ARG LINK_MODE=copy
ARG SOURCE_DATE_EPOCH=1767225600
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=${LINK_MODE} UV_COMPILE_BYTECODE=${COMPILE_BYTECODE}
WORKDIR /src
COPY requirements/backup.lock ./
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    uv venv /opt/notebooks \
    && uv pip install --python /opt/notebooks --no-deps --require-hashes --requirements backup.lock
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=package,source=/dist,target=/dist \
    uv pip install --python /opt/notebooks --link-mode copy --no-deps --no-cache \
        /dist/notebooks_accounting-*.whl \
    && find /opt/notebooks -name uv_cache.json -delete \
    && sed -i /uv_cache.json/d /opt/notebooks/lib/python*/site-packages/notebooks_*.dist-info/RECORD

# A user, and nothing that a process might write.
FROM ${PYTHON_IMAGE} AS user
ARG VERSION
LABEL org.opencontainers.image.vendor="EGI Notebooks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/opt/notebooks/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 notebooks \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp notebooks \
    && install --directory --owner=10001 --group=10001 /var/lib/notebooks-accounting

# The accounting service.
FROM user AS accounting
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="notebooks-accounting" \
      org.opencontainers.image.description="Exact usage accounting for EGI Notebooks" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=service /opt/notebooks /opt/notebooks
WORKDIR /var/lib/notebooks-accounting
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10m \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["notebooks-accounting"]
CMD ["serve", "--host", "0.0.0.0"]

# JupyterHub with Check-in login, spawner and pages, on the hub of Zero to JupyterHub. Its JupyterHub
# 5.5 stays, at the release that the lock names; JUPYTERHUB=6 raises it (and hub.db.upgrade must be set).
FROM ${HUB_IMAGE} AS hub
ARG REVISION=""
ARG SOURCE=""
ARG VERSION
ARG JUPYTERHUB=5
ARG LINK_MODE=copy
LABEL org.opencontainers.image.title="notebooks-hub" \
      org.opencontainers.image.description="JupyterHub with EGI Check-in, for EGI Notebooks" \
      org.opencontainers.image.vendor="EGI Notebooks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}"
ENV PYTHONDONTWRITEBYTECODE=1
USER 0
RUN --mount=type=bind,from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=package,source=/dist,target=/dist \
    --mount=type=bind,source=requirements,target=/requirements \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip install --system --break-system-packages --link-mode "${LINK_MODE}" --no-deps --require-hashes \
        --requirements "/requirements/hub${JUPYTERHUB}.lock" \
    && uv pip install --system --break-system-packages --link-mode copy --no-deps --no-cache \
        /dist/notebooks_accounting-*.whl
USER 1000
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/hub/health', timeout=4)"]

# The hourly proof that a notebook can be started: a service of the hub.
FROM user AS monitor
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="notebooks-monitor" \
      org.opencontainers.image.description="Starts a notebook as a user would, and tells whether it worked" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=programs /opt/notebooks /opt/notebooks
WORKDIR /tmp
USER 10001:10001
EXPOSE 8100
HEALTHCHECK --interval=30s --timeout=5s --start-period=1m \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8100/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "hub.monitor"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8100"]

# Backups of the users' volumes: it runs, tells, and ends.
FROM user AS backup
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="notebooks-backup" \
      org.opencontainers.image.description="Backs up the volumes of notebook users" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rclone restic \
    && rm -rf /var/lib/apt/lists/*
COPY --from=backup-programs /opt/notebooks /opt/notebooks
WORKDIR /tmp
USER 10001:10001
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "hub.backup"]

# The users' notebooks: --build-arg NOTEBOOK= data-science, base (Python only), r or machine-learning
# (PyTorch with CUDA). What the base has stays as it is; the lists of images/single-user come beside it,
# and images/single-user/vo/NAME.txt with --build-arg VO=NAME. Their health checks are the bases' own,
# which know the path that the hub gives.
FROM ${BASE_NOTEBOOK_IMAGE} AS base-notebook
FROM ${SINGLE_USER_IMAGE} AS data-science-notebook
FROM ${R_NOTEBOOK_IMAGE} AS r-notebook
FROM ${ML_NOTEBOOK_IMAGE} AS machine-learning-notebook

# hadolint ignore=DL3006
FROM ${NOTEBOOK}-notebook AS single-user
ARG NOTEBOOK
ARG REVISION=""
ARG SOURCE=""
ARG VERSION
ARG VO=""
LABEL org.opencontainers.image.title="notebooks-single-user" \
      org.opencontainers.image.description="JupyterLab for EGI Notebooks: ${NOTEBOOK}" \
      org.opencontainers.image.vendor="EGI Notebooks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}"
RUN --mount=type=bind,source=images/single-user,target=/image \
    /image/install "${NOTEBOOK}" "${VO}"
USER 1000
