// SPDX-License-Identifier: MPL-2.0

//! Doors: how clients reach `whisperstream`. Each speaks one protocol and opens onto the same thing, a [`call`]: a pipeline
//! around the element, which takes audio in and tells what is said. The [`exchange`] knows all calls of the process: it
//! admits them, lists them, counts them and lets them end.
//!
//! Arrows go downward: programs (`src/bin`) → doors ([`mod@line`], ...) → [`exchange`] → [`call`] → the element.

// The library is the programs' own: who reads its documentation reads its source.
#![allow(rustdoc::private_intra_doc_links)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod accept;
pub mod call;
pub mod client;
pub mod cluster;
pub mod dialects;
pub mod exchange;
pub mod freeswitch;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod line;
pub mod logs;
pub mod metrics;
pub mod network;
pub mod options;
pub mod page;
pub mod room;
pub mod security;
pub mod server;
pub mod signals;
pub mod tap;
pub mod watch;
pub mod webhook;
pub mod websocket;

use std::sync::{Mutex, PoisonError};

/// Starts GStreamer with the element in it, once; no plugin has to be installed.
pub fn init() -> Result<(), StartError> {
    static IS_REGISTERED: Mutex<bool> = Mutex::new(false);
    gst::init()?;
    let mut is_registered = IS_REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    // GStreamer frees the factory of elements that are there when another of its name is registered.
    if !*is_registered {
        gstwhisperstream::plugin_register_static()?;
        *is_registered = true;
    }
    Ok(())
}

/// Why nothing can be transcribed in this process at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("GStreamer could not be started: {0}")]
    GStreamer(#[from] gst::glib::Error),
    #[error("the element whisperstream could not be registered: {0}")]
    Element(#[from] gst::glib::BoolError),
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    #[test]
    fn to_start_twice_takes_nothing_from_elements_that_are_there() {
        super::init().unwrap();
        let element = crate::call::make("whisperstream").unwrap();
        let factory = element.factory().unwrap();
        super::init().unwrap();
        let known = gst::ElementFactory::find("whisperstream").unwrap();
        assert_eq!(factory, known);
        assert_eq!(element.factory(), Some(known));
    }
}
