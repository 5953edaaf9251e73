#!/bin/sh
# Installs the clients that the tests of the dialects talk to, into target/peers/dialects (200 MB): Deepgram's SDK, the client
# in Vosk's package and the WebSocket library of its examples, and a simulator of Twilio's Media Streams. scripts/test calls it,
# and so do the tests where it was not called. Where they are it does nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
venv=${CARGO_TARGET_DIR:-$root/target}/peers/dialects
stamp=$venv/installed.txt
cmp -s "$here/requirements.txt" "$stamp" && exit 0
mkdir -p "$venv"
# Tests run beside each other: one of them installs.
exec 9>"$venv/lock"
flock 9
cmp -s "$here/requirements.txt" "$stamp" && exit 0
if [ ! -x "$venv/bin/pip" ]; then
    python3 -m venv "$venv" || {
        echo "error: python3 cannot make a virtual environment; install Debian's package python3-venv" >&2
        exit 1
    }
fi
"$venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
