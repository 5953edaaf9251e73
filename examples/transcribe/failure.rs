// SPDX-License-Identifier: MPL-2.0

//! What can go wrong, said so that the reader knows what to do about it.

use std::io;

use crate::End;

#[derive(Debug)]
pub enum Failure {
    /// Something that only a broken installation brings about.
    Setup(String),
    NoElement {
        name: String,
        package: &'static str,
    },
    Property {
        name: String,
        value: String,
        reason: String,
    },
    Input {
        name: String,
        reason: String,
    },
    Output {
        name: String,
        err: io::Error,
    },
    NoAudio,
    NoDecoder {
        what: String,
        package: &'static str,
    },
    /// An element's own words.
    Pipeline(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Setup(what) => write!(f, "{what}"),
            Failure::NoElement { name, package } => write!(
                f,
                "GStreamer has no element {name} here; on Debian it is in the package {package}"
            ),
            Failure::Property {
                name,
                value,
                reason,
            } => write!(f, "--{name} cannot be {value:?}: {reason}"),
            Failure::Input { name, reason } => write!(f, "{name:?} cannot be read: {reason}"),
            Failure::Output { name, err } => write!(f, "{name} cannot be written: {err}"),
            Failure::NoAudio => write!(
                f,
                "the input has no audio stream; give a file with sound in it"
            ),
            Failure::NoDecoder { what, package } => write!(
                f,
                "no decoder for {what} is installed; on Debian it is in the package {package}"
            ),
            Failure::Pipeline(what) => write!(f, "{what}"),
        }
    }
}

/// The `missing-plugin` messages seen so far: decodebin posts them before it gives up, or goes on without.
#[derive(Debug, Default)]
pub struct MissingPlugins(Vec<(String, &'static str)>);

impl MissingPlugins {
    /// Remembers a `missing-plugin` message; ignores all others.
    pub fn note(&mut self, structure: &gst::StructureRef) {
        if structure.name() != "missing-plugin" {
            return;
        }
        let name = structure.get::<String>("name").unwrap_or_default();
        let package = match structure.get::<gst::Caps>("detail") {
            Ok(caps) => package_for(caps.structure(0).map_or("", |s| s.name().as_str())),
            Err(_) => "gstreamer1.0-plugins-good or gstreamer1.0-plugins-bad",
        };
        // decodebin names the thing as a capability, "MPEG-4 AAC decoder".
        let what = name.strip_suffix(" decoder").unwrap_or(&name).to_owned();
        self.0.push((what, package));
    }

    /// What an ERROR message comes down to.
    pub fn explain(&self, err: &gst::message::Error, heard_audio: bool) -> Failure {
        if !heard_audio && let Some(failure) = self.no_decoder() {
            return failure;
        }
        let error = err.error();
        if error.matches(gst::StreamError::TypeNotFound) {
            return Failure::Pipeline(
                "the input is empty, or no media format that GStreamer knows; raw samples need a pipeline that names their format \
                 (see the README)"
                    .into(),
            );
        }
        if !heard_audio && error.matches(gst::CoreError::MissingPlugin) {
            return Failure::NoAudio;
        }
        Failure::Pipeline(reason(error.message()))
    }

    /// At the end of the stream: fine if there was something to hear.
    pub fn check_heard(&self, heard_audio: bool) -> Result<End, Failure> {
        if heard_audio {
            return Ok(End::Finished);
        }
        Err(self.no_decoder().unwrap_or(Failure::NoAudio))
    }

    fn no_decoder(&self) -> Option<Failure> {
        let (what, package) = self.0.first()?;
        Some(Failure::NoDecoder {
            what: what.clone(),
            package,
        })
    }
}

/// The Debian package that is most likely to decode a media type.
fn package_for(media_type: &str) -> &'static str {
    match media_type {
        "audio/AMR" | "audio/AMR-WB" | "video/x-ms-asf" => "gstreamer1.0-plugins-ugly",
        _ => "gstreamer1.0-libav",
    }
}

/// A message's text on one line.
pub fn reason(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
