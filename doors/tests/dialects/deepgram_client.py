"""Deepgram's own SDK against our door.

    deepgram_client.py PORT FILE OPTIONS

OPTIONS is JSON: `connect`, the arguments of `listen.v1.connect`; `finalize_at`, the byte behind which it asks for what was said
so far and waits for the answer; `terms`, keyterms to change to. Prints each message as a line of JSON, with the class that
the SDK took it for.
"""

import json
import sys
import threading

from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types import ListenV1Configure
from websockets.exceptions import InvalidStatus

port, path, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
web, socket = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
client = DeepgramClient(
    api_key="a-key",
    environment=DeepgramClientEnvironment(base=web, production=socket, agent=socket, agent_rest=web),
)
finalized = threading.Event()


def told(message):
    line = message.dict() if hasattr(message, "dict") else message
    print(json.dumps({"class": type(message).__name__, **line}), flush=True)
    if getattr(message, "from_finalize", False):
        finalized.set()


def failed(error):
    print(json.dumps({"class": "error", "error": str(error)}), flush=True)


with open(path, "rb") as file:
    audio = file.read()

try:
    with client.listen.v1.connect(model="nova-3", **options["connect"]) as connection:
        connection.on(EventType.MESSAGE, told)
        connection.on(EventType.ERROR, failed)
        listener = threading.Thread(target=connection.start_listening)
        listener.start()
        connection.send_keep_alive()
        if "terms" in options:
            connection.send_configure(ListenV1Configure(keyterms=options["terms"]))
        cut = options.get("finalize_at")
        for start in range(0, len(audio), 3200):
            if cut is not None and start >= cut:
                cut = None
                connection.send_finalize()
                if not finalized.wait(120):
                    sys.exit("no answer to Finalize")
            connection.send_media(audio[start : start + 3200])
        connection.send_close_stream()
        listener.join(300)
        if listener.is_alive():
            sys.exit("the server does not end the stream")
except InvalidStatus as refusal:
    answer = refusal.response
    print(json.dumps({"class": "InvalidStatus", "status": answer.status_code, "headers": dict(answer.headers.raw_items())}))
