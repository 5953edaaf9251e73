// Copyright (C) 2026 the whisperstream authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Live speech-to-text inside GStreamer: Whisper under the AlignAtt simultaneous policy.
//!
//! Five rooms, and arrows only downward: [`element`] (GStreamer) → [`engine`] (threads, sharing)
//! → [`policy`] (what may be said when) and [`speech`] (who speaks since when) → [`whisper`] (the network). Beside them
//! [`text`]: what is made of words before people see them.

// Nothing that audio, a file, a property or a peer can reach may bring the process down.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod answerdetect;
pub mod beepdetect;
pub mod element;
pub mod engine;
pub mod policy;
pub mod speech;
pub mod text;
pub mod transcribe;
pub mod whisper;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    element::register(plugin)?;
    answerdetect::register(plugin)?;
    beepdetect::register(plugin)
}

gst::plugin_define!(
    whisperstream,
    env!("CARGO_PKG_DESCRIPTION"),
    plugin_init,
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
    "MPL-2.0",
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("CARGO_PKG_NAME"),
    env!("BUILD_REL_DATE")
);
