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
//! → [`policy`] (what may be said when) → [`whisper`] (the network).

pub mod engine;
pub mod policy;
pub mod whisper;
