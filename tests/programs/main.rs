// SPDX-License-Identifier: MPL-2.0

//! The plugin as its users meet it: `gst-launch-1.0`, `gst-inspect-1.0` and the example programs, each a process of its
//! own with the real plugins of the system beside ours. Every process has a time limit.

mod captions;
mod compare;
mod demo;
mod embedding;
mod files;
mod inspect;
mod leaks;
mod legs;
mod messages;
mod migrating;
mod muxing;
mod raw;
mod redact;
mod replay;
mod rtp;
mod runner;
mod subtitles;
mod transcribe;
