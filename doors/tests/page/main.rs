// SPDX-License-Identifier: MPL-2.0

//! The browser page: its files, its socket, and the page itself in a real Chromium.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod browser;
mod chromium;
mod files;
mod recordings;
mod socket;
mod support;
