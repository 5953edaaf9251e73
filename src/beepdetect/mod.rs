//! The GStreamer element `beepdetect`: audio passes through it unchanged, and it tells which tones it holds.
//!
//! `audio/x-raw` (S16LE, mono, 8 or 16 kHz) on both pads. What is found is posted as an element message `beepdetect/tone`
//! and pushed as a serialized custom downstream event of the same name and fields, in front of the buffer with which it
//! became certain:
//!
//! | field | type | |
//! |---|---|---|
//! | `kind` | string | `beep`, `sit`, `fax-cng`, `fax-ced`, `ring-back`, `busy`, `congestion`, `dial` |
//! | `frequency` | double | Hz; of several the strongest |
//! | `level` | double | dBFS; a sine of full scale has 0 |
//! | `timestamp`, `stream-time`, `running-time` | guint64, ns | when the tone began |
//! | `duration` | guint64, ns | its length, or what was heard of it so far |
//! | `final` | boolean | it has ended |
//!
//! A tone that is over before it is certain is told once, with `final`; any other twice. Tones with a cadence are one tone
//! from their first burst to the end of their last.
//!
//! Holes of up to a second (GAP events, DISCONT) are heard as silence; a longer hole, a jump back, a new segment, new caps
//! and EOS end what goes on. [`crate::speech::tones`] listens; `docs/beepdetect.md` tells how, with figures.

use gst::prelude::*;

mod clock;
mod imp;
mod properties;

glib::wrapper! {
    /// Which tones are on the line: see the module's documentation.
    pub struct BeepDetect(ObjectSubclass<imp::BeepDetect>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

/// The kinds of tones that are told.
#[glib::flags(name = "GstBeepDetectKinds")]
pub enum Kinds {
    #[flags_value(name = "Beep: an answering machine's", nick = "beep")]
    BEEP = 1 << 0,
    #[flags_value(name = "SIT: special information tones", nick = "sit")]
    SIT = 1 << 1,
    #[flags_value(name = "CNG: a fax that calls", nick = "fax-cng")]
    FAX_CNG = 1 << 2,
    #[flags_value(name = "CED: a fax or modem that answers", nick = "fax-ced")]
    FAX_CED = 1 << 3,
    #[flags_value(name = "Ring-back: the other end is rung", nick = "ring-back")]
    RING_BACK = 1 << 4,
    #[flags_value(name = "Busy: the other end is", nick = "busy")]
    BUSY = 1 << 5,
    #[flags_value(name = "Congestion: the network is busy", nick = "congestion")]
    CONGESTION = 1 << 6,
    #[flags_value(name = "Dial: the line waits for a number", nick = "dial")]
    DIAL = 1 << 7,
}

/// Registers the element with `plugin`.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "beepdetect",
        gst::Rank::NONE,
        BeepDetect::static_type(),
    )
}
