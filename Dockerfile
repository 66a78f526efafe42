# syntax=docker/dockerfile:1
# The image of every worker and command:
#
#   docker build --tag tidemill:0.1.0 .
#   docker run --rm tidemill:0.1.0 worker --list
#
# Two stages: the first has pip and the build tool; the second a Python, the installed packages, and nothing to build or
# install with. Every package is checked against the hashes in requirements/, the build tool among them.

FROM python:3.13.16-slim-trixie AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/tidemill
WORKDIR /src

# First what changes seldom, so that a change of our code installs only our code.
COPY requirements/worker.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/tidemill/bin/python install --only-binary :all: --require-hashes \
        --requirement requirements/worker.txt

COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip wheel --no-deps --build-constraint requirements/dev.txt --wheel-dir /dist . \
    && python -m pip --python /opt/tidemill/bin/python install --no-deps --no-index /dist/*.whl \
    && python -m pip --python /opt/tidemill/bin/python check


FROM python:3.13.16-slim-trixie AS runtime

ARG REVISION=""
LABEL org.opencontainers.image.title="Tidemill" \
      org.opencontainers.image.description="An application's background work on Kafka" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="python:3.13.16-slim-trixie"

# The folders of the object store and of work under way belong to the user, so that volumes mounted there do too.
RUN python -m pip uninstall --yes --quiet pip \
    && groupadd --gid 10001 tidemill \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/tidemill --no-create-home --shell /usr/sbin/nologin tidemill \
    && install --directory --owner=tidemill --group=tidemill --mode=0750 \
        /var/lib/tidemill /var/lib/tidemill/objects /var/lib/tidemill/scratch

COPY --from=builder /opt/tidemill /opt/tidemill
# Bytecode is in the image: a worker writes nothing but its results, so its root file system may be read-only.
ENV PATH=/opt/tidemill/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TIDEMILL_STATE_DIR=/var/lib/tidemill
WORKDIR /var/lib/tidemill
# By number, so that Kubernetes can see that it isn't root (runAsNonRoot).
USER 10001:10001
# No HEALTHCHECK: most commands end by themselves. docker-compose.yml gives the workers theirs.
ENTRYPOINT ["tidemill"]
CMD ["--help"]
