#!/bin/sh
# Installs what the benchmarks compare with, and what draws their plot, into target/peers (about 6 GB, most of it
# PyTorch with its CUDA libraries; with PIP_EXTRA_INDEX_URL set to PyTorch's index of CPU wheels, about 1.5 GB).
set -eu
cd "$(dirname "$0")/.."
venv=target/peers/venv
if [ ! -x "$venv/bin/python" ]; then
    mkdir -p target/peers
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --no-cache-dir torch openai-whisper faster-whisper safetensors zstandard matplotlib
"$venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

for package in ["torch", "openai-whisper", "ctranslate2", "faster-whisper", "matplotlib"]:
    print(package, version(package))
PYTHON
