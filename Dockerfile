# One file for every image:  docker build --build-arg SERVICE=credits --tag metis/credits .
#
#   SERVICE  registry, matching, credits, notifications, gateway or cli
#   BASE     any image with Python 3.11 or later and a POSIX shell
#
# An image holds kernel/, its own folder and its own extra alone: a service that imports another one does not start.
# `cli` holds everything, because it migrates every database and plays the demo.
ARG BASE=python:3.12-slim

# ---- What every image needs: the kernel's packages, the same layer for all six -----------------------------------
FROM ${BASE} AS kernel-packages
# Only for a build behind a mirror of the package index; both are empty otherwise and reach no image.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY pyproject.toml requirements.lock ./
# The installer is pinned in the lock like everything else; it stays in this stage.
RUN python3 -c "import re; print(re.search(r'^uv==.*(?:\n    --hash=.*)+', open('requirements.lock').read(), re.M).group())" >uv.txt \
    && python3 -m venv /opt/builder \
    && /opt/builder/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement uv.txt \
    && python3 -m venv --without-pip /opt/metis
# --require-hashes: a package that the lock does not name, or names with another digest, ends the build.
RUN /opt/builder/bin/uv pip install --python /opt/metis/bin/python \
      --require-hashes --constraint requirements.lock --requirement pyproject.toml

# ---- The one service's own packages -------------------------------------------------------------------------------
FROM kernel-packages AS packages
ARG SERVICE
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
# Matching reads texts better with its sentence models, and without them still.
RUN more=; if [ "${SERVICE:?}" = matching ]; then more="--extra sentences"; fi; \
    /opt/builder/bin/uv pip install --python /opt/metis/bin/python \
      --require-hashes --constraint requirements.lock --requirement pyproject.toml --extra "${SERVICE}" ${more}

# ---- The one service's own code -----------------------------------------------------------------------------------
FROM ${BASE} AS code
ARG SERVICE
WORKDIR /source
COPY . .
RUN set -eu; \
    case "${SERVICE}" in \
      registry|matching|credits|notifications) rooms="services/__init__.py services/${SERVICE}" ;; \
      gateway) rooms="gateway" ;; \
      cli) rooms="gateway services cli examples" ;; \
      *) echo "SERVICE must be registry, matching, credits, notifications, gateway or cli" >&2; exit 2 ;; \
    esac; \
    mkdir /app /state; \
    cp -R --parents kernel ${rooms} /app; \
    cp deploy/image/start deploy/image/healthy.py deploy/image/wait_for_tables.py /app; \
    chmod 0755 /app/start; \
    # Compiled here, since the file system is read-only later; by content, so that dates do not matter.
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /app

# ---- The image ----------------------------------------------------------------------------------------------------
FROM ${BASE}
ARG SERVICE
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Métis ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="EUPL-1.2"
ENV PATH=/opt/metis/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    METIS_IMAGE=${SERVICE} \
    METIS_HOST=0.0.0.0 \
    METIS_PORT=8080 \
    METIS_STATE=/state
WORKDIR /app
COPY --from=packages /opt/metis /opt/metis
COPY --from=code /app /app
# For `metis demo` and for a file of spans: a volume mounted here belongs to the user below.
COPY --from=code --chown=10001:10001 /state /state
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["python", "/app/healthy.py", "live"]
ENTRYPOINT ["/app/start"]
