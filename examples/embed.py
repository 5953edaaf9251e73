#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
# Words with their times, of samples that a program has (S16LE, 16 kHz, mono):
#   arecord -q -f S16_LE -r 16000 | GST_PLUGIN_PATH=target/release examples/embed.py fr

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstApp

SECOND = 32_000  # bytes

Gst.init(None)
try:
    pipeline = Gst.parse_launch(
        "appsrc name=source format=time caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved "
        "! whisperstream name=ears ! application/x-json ! appsink name=sink sync=false"
    )
    source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
    pipeline.get_by_name("ears").set_property("language", sys.argv[1] if len(sys.argv) > 1 else "auto")
except (GLib.Error, TypeError) as error:
    sys.exit(f"embed: {error.message if isinstance(error, GLib.Error) else error}")
bus = pipeline.get_bus()
pipeline.set_state(Gst.State.PLAYING)

pushed = 0
while not sink.is_eos():
    if message := bus.pop_filtered(Gst.MessageType.ERROR):
        pipeline.set_state(Gst.State.NULL)
        sys.exit(f"embed: {message.parse_error()[0].message}")
    if source.get_property("current-level-bytes") < SECOND and pushed is not None:
        if samples := sys.stdin.buffer.read(SECOND // 10):
            buffer = Gst.Buffer.new_wrapped(samples)
            buffer.pts = pushed * Gst.SECOND // SECOND
            source.push_buffer(buffer)
            pushed += len(samples)
        else:
            source.end_of_stream()
            pushed = None
    while sample := sink.try_pull_sample(10 * Gst.MSECOND):
        buffer = sample.get_buffer()
        for word in json.loads(buffer.extract_dup(0, buffer.get_size()))["words"]:
            print(f"{word['start']:7.2f} {word['end']:7.2f} {word['text'].strip()}", flush=True)
pipeline.set_state(Gst.State.NULL)
