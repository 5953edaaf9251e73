//! Who is speaking, since when, and what else is on the line: voice activity, endpoints, tones, answering machines,
//! interruptions. Pure state machines: no threads, no candle, no I/O, no GStreamer. They count samples.

pub mod answer;
