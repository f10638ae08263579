# The block's image: trains without a network, as any user, on a read-only root with a writable /tmp.
#   docker build -t esp32-vision-block .                              torch for the CPU
#   docker build -t esp32-vision-block --build-arg DEVICE=cu130 .     torch for NVIDIA cards, some 5 GB more
#   docker build -t esp32-vision-block --build-arg TORCH_INDEX= .     whichever torch pip finds by itself
FROM python:3.11-slim-bookworm

ARG DEVICE=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/${DEVICE}

WORKDIR /app

# Packages come before the code, so that a change of code installs none of them again.
# - onnx2tf demands tensorflow, which carries a CUDA runtime of its own; its CPU edition converts the same.
# - The rest that goes is never used: opencv (decodes photos inside ONNX graphs), libclang and C++ headers (for
#   extensions), TensorBoard's servers, torch's test programs; of torch/bin, torch asks for torch_shm_manager only.
# - The imports at the end fail here, not in someone's training, should one of them have been needed after all.
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

# Libraries keep their caches where everyone may write; a user without an entry in /etc/passwd still has a name.
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

# - Installing the project in place gives its version to metrics.json.
# - ImageNet weights that did not lie in weights/ are downloaded; without them the block trains from a random start.
# - Whoever copied the files may have kept them to himself; the container's user must be able to read them.
RUN pip install --quiet --no-cache-dir --root-user-action=ignore --no-deps --no-build-isolation --editable . \
    && { python3 -m block weights --width 0.35 --width 0.5 --width 0.75 --width 1.0 \
      || echo "WARNING: built without some ImageNet weights; put them into weights/ or build with a network."; } \
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
