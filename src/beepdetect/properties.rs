//! The properties: what they are called, what they say of themselves, and whether they make sense together.

use gst::prelude::*;

use super::Kinds;
use crate::speech::tones::{Kind, Settings};

/// Their values. All change in NULL and READY, and count from the next READY→PAUSED on.
#[derive(Clone, Copy, Debug)]
pub struct Properties {
    settings: Settings,
    kinds: Kinds,
}

impl Default for Properties {
    fn default() -> Properties {
        Properties {
            settings: Settings::default(),
            kinds: Kinds::all(),
        }
    }
}

/// Ranges are wide: the element itself refuses a value, in a sentence that names it.
pub fn all() -> Vec<glib::ParamSpec> {
    let default = Properties::default();
    let flags = glib::ParamFlags::READWRITE | gst::PARAM_FLAG_MUTABLE_READY;
    let number = |name, nick, blurb, value| {
        glib::ParamSpecUInt::builder(name)
            .nick(nick)
            .blurb(blurb)
            .default_value(value)
            .flags(flags)
            .build()
    };
    vec![
        number(
            "min-duration",
            "Min duration",
            "Shortest beep, in milliseconds: 100 to 1000. A beep is told within 200 ms of having lasted so long",
            default.settings.min_duration_ms,
        ),
        number(
            "min-frequency",
            "Min frequency",
            "Lowest beep, in Hz: 350 to max-frequency. 400 and 425 Hz are never beeps but call progress",
            default.settings.min_frequency,
        ),
        number(
            "max-frequency",
            "Max frequency",
            "Highest beep, in Hz: min-frequency to 2200. 2100 Hz is never a beep but a fax",
            default.settings.max_frequency,
        ),
        glib::ParamSpecDouble::builder("min-level")
            .nick("Min level")
            .blurb("Softest tone of any kind, in dBFS (a sine of full scale has 0): -60 to 0")
            .default_value(default.settings.min_level)
            .flags(flags)
            .build(),
        glib::ParamSpecFlags::builder::<Kinds>("kinds")
            .nick("Kinds")
            .blurb("Kinds of tones that are told; the others are still told apart from them")
            .default_value(default.kinds)
            .flags(flags)
            .build(),
    ]
}

impl Properties {
    /// Takes a value over; `None` if there is no such property of this type.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Option<()> {
        let settings = &mut self.settings;
        match name {
            "min-duration" => settings.min_duration_ms = value.get().ok()?,
            "min-frequency" => settings.min_frequency = value.get().ok()?,
            "max-frequency" => settings.max_frequency = value.get().ok()?,
            "min-level" => settings.min_level = value.get().ok()?,
            "kinds" => self.kinds = value.get().ok()?,
            _ => return None,
        }
        Some(())
    }

    pub fn get(&self, name: &str) -> Option<glib::Value> {
        let settings = &self.settings;
        Some(match name {
            "min-duration" => settings.min_duration_ms.to_value(),
            "min-frequency" => settings.min_frequency.to_value(),
            "max-frequency" => settings.max_frequency.to_value(),
            "min-level" => settings.min_level.to_value(),
            "kinds" => self.kinds.to_value(),
            _ => return None,
        })
    }

    /// Whether they make sense.
    pub fn check(&self) -> Result<(), gst::ErrorMessage> {
        self.settings
            .check()
            .map_err(|error| gst::error_msg!(gst::ResourceError::Settings, ["{error}"]))?;
        if self.kinds.is_empty() {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                [
                    "kinds is empty: nothing would be told; name at least one of {}",
                    names()
                ]
            ));
        }
        Ok(())
    }

    /// What is looked for in audio of `rate` Hz.
    pub fn settings(&self, rate: u32) -> Settings {
        Settings {
            rate,
            ..self.settings
        }
    }

    /// Whether tones of a kind are told.
    pub fn tells(&self, kind: Kind) -> bool {
        self.kinds.contains(match kind {
            Kind::Beep => Kinds::BEEP,
            Kind::Sit => Kinds::SIT,
            Kind::FaxCng => Kinds::FAX_CNG,
            Kind::FaxCed => Kinds::FAX_CED,
            Kind::RingBack => Kinds::RING_BACK,
            Kind::Busy => Kinds::BUSY,
            Kind::Congestion => Kinds::CONGESTION,
            Kind::Dial => Kinds::DIAL,
        })
    }
}

fn names() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}
