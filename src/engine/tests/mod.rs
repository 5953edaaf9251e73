//! Sessions over a made-up model: pace, back-pressure, drops, drains, flushes, ends, and loads that fail.

mod events;
mod fake;
mod loading;
mod overload;
mod pace;
mod stopping;
