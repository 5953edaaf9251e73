/* SPDX-License-Identifier: MPL-2.0
 * Words with their times, of samples that a program has (S16LE, 16 kHz, mono):
 *   cc examples/embed.c -o embed $(pkg-config --cflags --libs gstreamer-app-1.0)
 *   arecord -q -f S16_LE -r 16000 | GST_PLUGIN_PATH=target/release ./embed fr */
#include <gst/app/gstappsrc.h>
#include <stdio.h>

static gpointer push(gpointer source) {
  gint16 samples[1600]; /* 100 ms */
  for (guint64 pushed = 0, size; (size = fread(samples, 1, sizeof samples, stdin)) > 0; pushed += size) {
    GstBuffer *buffer = gst_buffer_new_memdup(samples, size);
    GST_BUFFER_PTS(buffer) = gst_util_uint64_scale(pushed, GST_SECOND, 32000);
    gst_app_src_push_buffer(source, buffer); /* waits while there is no room */
  }
  return GINT_TO_POINTER(gst_app_src_end_of_stream(source));
}

int main(int argc, char **argv) {
  gst_init(&argc, &argv);
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch("appsrc name=source format=time block=true max-bytes=32000 "
      "caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved ! whisperstream name=ears ! fakesink", &error);
  if (error) return g_printerr("embed: %s\n", error->message), 1;
  gst_util_set_object_arg(G_OBJECT(gst_bin_get_by_name(GST_BIN(pipeline), "ears")), "language", argc > 1 ? argv[1] : "auto");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  g_thread_new("push", push, gst_bin_get_by_name(GST_BIN(pipeline), "source"));
  for (GstMessage *message = NULL; !message || GST_MESSAGE_TYPE(message) != GST_MESSAGE_EOS;) {
    g_clear_pointer(&message, gst_message_unref);
    message = gst_bus_timed_pop_filtered(GST_ELEMENT_BUS(pipeline), GST_CLOCK_TIME_NONE, GST_MESSAGE_ANY);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
      return gst_message_parse_error(message, &error, NULL), g_printerr("embed: %s\n", error->message), 1;
    if (!gst_message_has_name(message, "whisperstream/words")) continue;
    const GValue *words = gst_structure_get_value(gst_message_get_structure(message), "words");
    for (guint i = 0; i < gst_value_array_get_size(words); i++) {
      const GstStructure *word = gst_value_get_structure(gst_value_array_get_value(words, i));
      guint64 start = 0, end = 0;
      gst_structure_get(word, "start", G_TYPE_UINT64, &start, "end", G_TYPE_UINT64, &end, NULL);
      g_print("%7.2f %7.2f %s\n", start / 1e9, end / 1e9, gst_structure_get_string(word, "text"));
    }
  }
  return gst_element_set_state(pipeline, GST_STATE_NULL) == GST_STATE_CHANGE_FAILURE;
}
