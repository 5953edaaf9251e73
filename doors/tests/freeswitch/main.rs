//! `whisperstream-freeswitch` against a FreeSWITCH made after its documentation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bridge;
mod calls;
mod connection;
mod peer;
mod recordings;
