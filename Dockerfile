# syntax=docker/dockerfile:1
# BASE_IMAGE chooses the Python, TORCH_INDEX_URL the build of torch; without it the package index's
# default build is taken, which on x86-64 Linux brings CUDA along.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG TORCH_INDEX_URL=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
WORKDIR /srv/fewstep
RUN python -m venv /opt/venv
COPY constraints.txt pyproject.toml ./
COPY client client
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --quiet -c constraints.txt ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch
# The dependencies alone, so that a change of our code does not fetch them again.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" \
      > /tmp/requirements.txt \
    && pip install --quiet -c constraints.txt ./client -r /tmp/requirements.txt
COPY README.md LICENSE ./
COPY app app
COPY worker worker
COPY models models
COPY migrations migrations
COPY benchmarks/__init__.py benchmarks/
COPY benchmarks/published benchmarks/published
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --quiet --no-deps -e . && python -m compileall -q app worker models migrations

FROM ${BASE_IMAGE}
RUN useradd --uid 10001 --user-group --create-home fewstep \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/fewstep
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/fewstep /srv/fewstep
WORKDIR /srv/fewstep
# Beyond its container a service answers only with a key: FEWSTEP_BOOTSTRAP_KEY.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FEWSTEP_HOST=0.0.0.0 \
    FEWSTEP_DATA_DIR=/var/lib/fewstep
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["fewstep", "serve"]
