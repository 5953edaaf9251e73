//! The browser page at `/`, and the WebSocket into which it records, `/ajax/audio`.
//!
//! The page is plain HTML, CSS and JavaScript modules, in the program itself: nothing is fetched from anywhere else, and a
//! policy in its headers forbids that it ever is.

pub(crate) mod audio;
pub(crate) mod container;
mod files;

use axum::Router;
use axum::routing::get;

use crate::exchange::Exchange;

/// `/`, `/page/...` and `/ajax/audio`.
pub fn routes() -> Router<Exchange> {
    files::routes()
        .route("/page/languages.json", get(files::languages))
        .route("/ajax/audio", get(audio::connect))
}
