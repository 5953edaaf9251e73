//! What goes wrong on any thread: panics, and what GLib complains of.

use std::sync::{Mutex, PoisonError};

use gst::glib;

static FAULT: Mutex<Option<String>> = Mutex::new(None);

/// From now on faults are noted instead of printed.
pub fn listen() {
    std::panic::set_hook(Box::new(|info| note(info.to_string())));
    glib::log_set_default_handler(|domain, level, text| {
        let grave = [
            glib::LogLevel::Critical,
            glib::LogLevel::Error,
            glib::LogLevel::Warning,
        ];
        // What the fuzzer does to a pad itself is said of its own pad; what demuxers do to objects of theirs is theirs.
        let of_others = [
            "Sticky event misordering",
            "Got data flow before",
            "mini_object != NULL",
            "file ../gst/matroska/",
        ];
        if grave.contains(&level) && !of_others.iter().any(|it| text.contains(it)) {
            note(format!("{}: {text}", domain.unwrap_or("GLib")));
        }
    });
}

fn note(text: String) {
    let mut fault = FAULT.lock().unwrap_or_else(PoisonError::into_inner);
    fault.get_or_insert(text);
}

/// The first fault since this was asked last.
pub fn take() -> Option<String> {
    FAULT.lock().unwrap_or_else(PoisonError::into_inner).take()
}
