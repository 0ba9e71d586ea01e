# docker build -t moco .                                                        on a CPU
# docker build -t moco:cuda --build-arg TORCH=https://download.pytorch.org/whl/cu126 .   on a GPU
# docker run --rm -v "$PWD:/work" moco pretrain --data photos/ --out runs/photos         (with a GPU: --gpus all)
# Linted with hadolint; docker itself was not at hand where it was written.
FROM python:3.11-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN pip install --index-url "$TORCH" "torch>=2.5" "torchvision>=0.20"
COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install "/src[fast,formats]" && rm -rf /src
RUN useradd --create-home --uid 1000 moco
USER 1000
WORKDIR /work
ENTRYPOINT ["moco"]
CMD ["--help"]
