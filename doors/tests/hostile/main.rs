//! Every door under attack, on the real server as a program of its own: who speaks meanwhile loses no word, afterwards the server
//! holds what it held before, and nobody but its operator comes to its files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/program.rs"]
#[allow(dead_code)]
mod program;

mod attacks;
mod files;
mod playlists;
mod receiver;
mod server;
mod storm;
mod strangers;
