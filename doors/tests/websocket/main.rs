//! The WebSocket door: clients of old, clients that ask for more, and hostile ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod hostile;
mod security;
mod talk;
mod watch;
mod webhook;
