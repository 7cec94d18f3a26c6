# tcnfast in a container. Not built yet: the machines of this project have no Docker daemon.
#
#   docker build -t tcnfast .                                       # CPU
#   docker build -t tcnfast:cuda --build-arg EXTRAS=gpu .           # NVIDIA GPUs: docker run --gpus all
#   docker run --rm -v "$PWD:/data" tcnfast scan hg38.fa -o scan/
#
# TORCH is what pip is asked for. On Linux its own choice is a build with CUDA, which runs on CPUs
# too; a smaller CPU build comes from an index of your own: --build-arg PIP_EXTRA_INDEX_URL=...
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN pip wheel --no-deps -w /wheels /source

FROM python:${PYTHON}-slim
ARG TORCH=torch
ARG EXTRAS=plots
ARG PIP_EXTRA_INDEX_URL=
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
RUN PIP_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL}" \
    pip install --no-cache-dir "${TORCH}" "$(echo /wheels/tcnfast-*.whl)[${EXTRAS}]" && rm -r /wheels
# compiled code of numba is kept here (tcnfast/base/jit.py)
RUN useradd --create-home tcnfast && mkdir /data && chown tcnfast /data
USER tcnfast
WORKDIR /data
ENTRYPOINT ["tcnfast"]
