//! The wire formats of others, spoken by their own clients where there are any, else by frames of the documented form.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod audiosocket;
mod deepgram;
mod forks;
mod support;
mod twilio;
mod vosk;
