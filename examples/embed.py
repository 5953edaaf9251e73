#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
# Words with their times, of samples that a program has (S16LE, 16 kHz, mono):
#   arecord -q -f S16_LE -r 16000 | GST_PLUGIN_PATH=target/release examples/embed.py fr

import json
import os
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstApp

def push(source, pushed=0):
    while samples := sys.stdin.buffer.read(3200):  # 100 ms
        buffer = Gst.Buffer.new_wrapped(samples)
        buffer.pts = pushed * Gst.SECOND // 32_000
        pushed += len(samples)
        source.push_buffer(buffer)  # waits while there is no room
    source.end_of_stream()

Gst.init(None)
try:
    pipeline = Gst.parse_launch(
        "appsrc name=source format=time block=true max-bytes=32000 caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved "
        f"! whisperstream language={sys.argv[1] if len(sys.argv) > 1 else 'auto'} ! application/x-json ! appsink name=sink sync=false"
    )
except GLib.Error as error:
    sys.exit(f"embed: {error.message}")
bus, sink = pipeline.get_bus(), pipeline.get_by_name("sink")
pipeline.set_state(Gst.State.PLAYING)
threading.Thread(target=push, args=[pipeline.get_by_name("source")], daemon=True).start()
while not sink.is_eos():
    if message := bus.pop_filtered(Gst.MessageType.ERROR):
        pipeline.set_state(Gst.State.NULL)
        print(f"embed: {message.parse_error()[0].message}", file=sys.stderr)
        os._exit(1)  # the other thread still reads
    if sample := sink.try_pull_sample(20 * Gst.MSECOND):
        for word in json.loads(sample.get_buffer().extract_dup(0, sample.get_buffer().get_size()))["words"]:
            print(f"{word['start']:7.2f} {word['end']:7.2f} {word['text'].strip()}", flush=True)
pipeline.set_state(Gst.State.NULL)
