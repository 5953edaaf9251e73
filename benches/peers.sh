#!/bin/sh
# Installs what the benchmarks compare with into target/peers (about 6 GB, most of it PyTorch).
set -eu
cd "$(dirname "$0")/.."
venv=target/peers/venv
if [ ! -x "$venv/bin/python" ]; then
    mkdir -p target/peers
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --no-cache-dir torch openai-whisper
"$venv/bin/python" -c 'import torch, whisper; print("openai-whisper", whisper.__version__, "on PyTorch", torch.__version__)'
