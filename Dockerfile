# syntax=docker/dockerfile:1

# docker build --target cpu -t ecg-trt .          commands on the CPU
# docker build --target gpu -t ecg-trt:gpu .      the same with TensorRT for RTX; run it with --gpus all
# docker build -t ecg-trt:serve .                 the page and REST on port 8000

FROM python:3.12-slim-bookworm AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    ECG_TRT_HOME=/var/cache/ecg_trt
RUN useradd --uid 10001 --create-home ecg \
    && install --directory --owner ecg --group ecg /data "$ECG_TRT_HOME"
# Photos are mounted here; plans that `ecg-trt build` makes are kept in the second.
VOLUME ["/data", "/var/cache/ecg_trt"]
WORKDIR /data
ENTRYPOINT ["ecg-trt"]
CMD ["--help"]
# Every network is read and its hash compared.
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s CMD ["ecg-trt", "info"]

# The driver comes from the host (NVIDIA Container Toolkit), and all else from PyPI.
FROM base AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install "$(echo /wheels/*.whl)[rtx,cuda,build,pdf,heif,dicom,edf,parquet,web]"
USER 10001

FROM base AS cpu
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install "$(echo /wheels/*.whl)[pdf,heif,dicom,edf,parquet,web]"
USER 10001

FROM cpu AS serve
EXPOSE 8000
CMD ["serve", "--host", "0.0.0.0"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
