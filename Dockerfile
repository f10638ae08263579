# The image of the block. It runs without a network, as any user, on a read-only root with a writable /tmp.
#   docker build -t esp32-vision-block .                              PyTorch for the CPU
#   docker build -t esp32-vision-block --build-arg DEVICE=cu130 .     PyTorch for NVIDIA GPUs, about 5 GB more
#   docker build -t esp32-vision-block --build-arg TORCH_INDEX= .     the PyTorch that pip chooses by default
FROM python:3.11-slim-bookworm

ARG DEVICE=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/${DEVICE}

WORKDIR /app

# The packages are installed before the code is copied, so that a change of the code does not install them again.
# - onnx2tf requires tensorflow, which includes a CUDA runtime. tensorflow-cpu replaces it and converts in the same way.
# - These parts are not used and are removed: opencv (decodes photos inside ONNX graphs), libclang and C++ headers (for
#   extensions), TensorBoard's servers, torch's test programs. torch needs only torch_shm_manager from torch/bin.
# - The imports at the end check that no removed part was needed. If one was, the build fails here.
COPY pyproject.toml ./
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > /tmp/requirements.txt \
    && export PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
      PIP_PROGRESS_BAR=off \
    && pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --requirement /tmp/requirements.txt \
    && tensorflow="$(pip freeze | grep '^tensorflow==')" \
    && pip uninstall --quiet --yes tensorflow opencv-python libclang tensorboard-data-server grpcio \
    && pip install --no-deps "tensorflow-cpu==${tensorflow#*==}" \
    && packages="$(python3 -c "import sysconfig; print(sysconfig.get_path('purelib'))")" \
    && rm -rf "$packages/tensorflow/include" "$packages/torch/include" "$packages/torch/test" \
    && find "$packages/torch/bin" -type f ! -name torch_shm_manager -delete \
    && { python3 -m compileall -q -j 0 "$packages" > /dev/null || true; } \
    && HOME=/tmp python3 -c "import torch, onnxsim, onnx2tf, tf_keras, ai_edge_litert.interpreter" \
    && rm -rf /tmp/* /tmp/.[!.]*

# The libraries' caches are in /tmp, where every user can write. USER gives a name to users who are not in /etc/passwd.
ENV HOME=/tmp \
    USER=block \
    XDG_CACHE_HOME=/tmp/cache \
    MPLCONFIGDIR=/tmp/cache/matplotlib \
    KERAS_HOME=/tmp/cache/keras \
    TORCH_HOME=/tmp/cache/torch \
    TORCHINDUCTOR_CACHE_DIR=/tmp/cache/torchinductor \
    PYTHONDONTWRITEBYTECODE=1

COPY LICENSE README.md parameters.json train.py ./
COPY weights/ weights/
COPY esp32_deploy/ esp32_deploy/
COPY block/ block/

# - The project is installed in place, so that metrics.json contains its version.
# - ImageNet weights that are not in weights/ are downloaded. Without them training starts from random weights.
# - chmod makes the files readable for every user of the container, whatever their permissions were when copied.
RUN pip install --quiet --no-cache-dir --root-user-action=ignore --no-deps --no-build-isolation --editable . \
    && { python3 -m block weights --width 0.35 --width 0.5 --width 0.75 --width 1.0 \
      || echo "WARNING: some ImageNet weights are missing. Put them into weights/ or build with a network."; } \
    && echo "ImageNet weights in this image: $(find weights -name '*.pt' | xargs)" \
    && python3 -m compileall -q train.py block esp32_deploy \
    && chmod -R a+rX /app \
    && rm -rf /tmp/* /tmp/.[!.]*

ARG SOURCE=
ARG REVISION=
LABEL org.opencontainers.image.title="ESP32 vision block" \
      org.opencontainers.image.description="Trains image networks small enough for an ESP32-CAM" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION"

ENTRYPOINT ["python3", "-u", "train.py"]
