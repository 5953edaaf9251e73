#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
# Prints the words of a WAV file as the element decides them: GST_PLUGIN_PATH=target/release examples/listen.py call.wav

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

Gst.init(None)
pipeline = Gst.parse_launch(
    f"filesrc location={sys.argv[1]} ! wavparse ! audioconvert ! audioresample ! whisperstream ! fakesink"
)
bus = pipeline.get_bus()
pipeline.set_state(Gst.State.PLAYING)

while message := bus.timed_pop(Gst.CLOCK_TIME_NONE):
    if message.type == Gst.MessageType.EOS:
        break
    if message.type == Gst.MessageType.ERROR:
        sys.exit("{0} ({1})".format(*message.parse_error()))
    structure = message.get_structure()
    if structure and structure.get_name() == "whisperstream/words":
        print(structure.get_value("timestamp") / Gst.SECOND, structure.get_string("text"), flush=True)

pipeline.set_state(Gst.State.NULL)
