//! What the element can be told, and the sentences that refuse what makes no sense.

use gst::ClockTime;

use super::edits::Edits;
use super::{
    AudioCtx, BufferTrimming, Compat, Fillers, Pace, Policy, Precision, Redact, Task, Unit, Vad,
};
use crate::engine::dump::DumpSettings;
use crate::engine::{self, ModelKey, SessionSettings};
use crate::policy::{self, PolicySettings, SettingsError};
use crate::speech::{BargeInSettings, VadError, VadSettings};
use crate::whisper::{self, AlignmentHead, Arithmetic, Backend, Device, ModelSource, WhisperError};

/// Longest `latency` or `lateness`: an hour.
const LONGEST_MS: u32 = 3_600_000;

/// The properties, as they were set; [`Settings::session`] and [`Settings::check`] say whether they make sense.
#[derive(Clone, Debug)]
pub struct Settings {
    pub model: Option<String>,
    pub device: String,
    pub precision: Precision,
    pub task: Task,
    pub rule: Policy,
    pub buffer_trimming: BufferTrimming,
    pub compat: Compat,
    pub audio_ctx: AudioCtx,
    pub pace: Pace,
    pub max_streams: u32,
    pub alignment_heads: Option<String>,
    pub cif_model: Option<String>,
    pub unit: Unit,
    pub latency_ms: u32,
    pub lateness_ms: u32,
    pub vad: Vad,
    pub voice: VadSettings,
    pub barge_in: BargeInSettings,
    /// Name of this side of the call.
    pub leg: Option<String>,
    pub fillers: Fillers,
    pub redact: Redact,
    /// Where streams are recorded.
    pub dump_dir: Option<String>,
    pub resume: Option<glib::Bytes>,
    /// `rule`, `task`, `compat`, `buffer_trimming` and `audio_ctx` in here are not used: the enums above are.
    pub policy: PolicySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            model: None,
            device: "cpu".into(),
            precision: Precision::default(),
            task: Task::default(),
            rule: Policy::default(),
            buffer_trimming: BufferTrimming::default(),
            compat: Compat::default(),
            audio_ctx: AudioCtx::default(),
            pace: Pace::default(),
            max_streams: 0,
            alignment_heads: None,
            cif_model: None,
            unit: Unit::default(),
            latency_ms: 2_000,
            lateness_ms: 0,
            vad: Vad::default(),
            voice: VadSettings::default(),
            barge_in: BargeInSettings::default(),
            leg: None,
            fillers: Fillers::default(),
            redact: Redact::default(),
            dump_dir: None,
            resume: None,
            policy: PolicySettings::default(),
        }
    }
}

/// Why a setting is refused: value, reason and remedy.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Policy(#[from] SettingsError),
    #[error(transparent)]
    Vad(#[from] VadError),
    #[error(
        "model is empty; give the directory or file of a Whisper model or its id on the Hugging Face hub, or leave the property unset for the bundled demo model"
    )]
    EmptyModel,
    #[error(transparent)]
    Backend(#[from] WhisperError),
    #[error("device {0:?} is unknown; set device to \"cpu\", or to \"cuda:0\" for the first GPU")]
    UnknownDevice(String),
    #[error(
        "alignment-heads {0:?} cannot be read at {1:?}; write layer:head pairs, comma-separated and counted from 0, such as \"2:2,3:0\", or unset the property to use the model's own"
    )]
    Heads(String, String),
    #[error(
        "barge-in-after is {after} ms and barge-in-min-words {words}, but there is no voice detector to tell of speech ({why}); set vad to auto and compat to none, or both to 0"
    )]
    Deaf {
        after: u32,
        words: u32,
        why: &'static str,
    },
    #[error(
        "barge-in-after is {after} ms, but vad-min-speech {least} ms: no speech is known so soon; raise the first (300 to 500 is good practice) or lower the second"
    )]
    TooSoon { after: u32, least: u32 },
    #[error(
        "fillers=remove and redact=digits change the text, but compat=simulstreaming writes what the reference writes; set compat to none, or fillers to keep and redact to none"
    )]
    Edited,
    #[error(
        "{0} is {1} ms, more than an hour; it is the time that text may take, in milliseconds, usually 1000 to 10000"
    )]
    TooLong(&'static str, u32),
}

impl Settings {
    pub fn latency(&self) -> ClockTime {
        ClockTime::from_mseconds(self.latency_ms.into())
    }

    pub fn lateness(&self) -> ClockTime {
        ClockTime::from_mseconds(self.lateness_ms.into())
    }

    pub fn chunk(&self) -> ClockTime {
        ClockTime::from_mseconds(self.policy.min_chunk_ms.into())
    }

    /// The voice detector, if there is one.
    fn detector(&self) -> Result<Option<VadSettings>, VadError> {
        self.voice.check()?;
        Ok(self.has_detector().then_some(self.voice))
    }

    /// When speech is an interruption.
    pub fn interruptions(&self) -> Result<BargeInSettings, Refusal> {
        let (after, least) = (self.barge_in.after_ms, self.voice.min_speech_ms);
        if self.barge_in.is_on() && !self.has_detector() {
            return Err(Refusal::Deaf {
                after,
                words: self.barge_in.min_words,
                why: match self.vad {
                    Vad::None => "vad=none",
                    Vad::Auto => "compat=simulstreaming, which has none",
                },
            });
        }
        if after > 0 && after < least {
            return Err(Refusal::TooSoon { after, least });
        }
        Ok(self.barge_in)
    }

    /// Whether a voice detector listens.
    pub fn has_detector(&self) -> bool {
        self.vad == Vad::Auto && self.compat == Compat::None
    }

    /// Whether the bundled demo model is what runs.
    pub fn is_demo(&self) -> bool {
        self.model.is_none()
    }

    /// The policy's settings, with the enums filled in.
    pub fn policy(&self) -> PolicySettings {
        PolicySettings {
            task: match self.task {
                Task::Transcribe => policy::Task::Transcribe,
                Task::Translate => policy::Task::Translate,
            },
            rule: match self.rule {
                Policy::AlignAtt => policy::Rule::AlignAtt,
                Policy::LocalAgreement => policy::Rule::LocalAgreement,
            },
            buffer_trimming: match self.buffer_trimming {
                BufferTrimming::Segment => policy::BufferTrimming::Segment,
                BufferTrimming::Sentence => policy::BufferTrimming::Sentence,
            },
            compat: match self.compat {
                Compat::None => policy::Compat::None,
                Compat::SimulStreaming => policy::Compat::SimulStreaming,
            },
            audio_ctx: match self.audio_ctx {
                AudioCtx::Exact => policy::AudioCtx::Exact,
                AudioCtx::Auto => policy::AudioCtx::Auto,
                AudioCtx::Overload => policy::AudioCtx::Overload,
            },
            // What interrupts is judged by its words, decided or not.
            interim: self.policy.interim || self.barge_in.is_on(),
            ..self.policy.clone()
        }
    }

    /// What is done to words before anybody sees them.
    pub fn edits(&self) -> Edits {
        Edits::new(self.fillers, self.redact)
    }

    /// Where the stream is recorded; an empty name is none.
    fn dump(&self) -> Option<DumpSettings> {
        let dir = self.dump_dir.as_deref().filter(|dir| !dir.is_empty())?;
        Some(DumpSettings {
            dir: dir.into(),
            leg: self.leg.clone(),
        })
    }

    fn backend(&self) -> Result<Backend, Refusal> {
        Ok(Backend {
            device: parse_device(&self.device)?,
            precision: match self.precision {
                Precision::Auto => whisper::Precision::Auto,
                Precision::F32 => whisper::Precision::F32,
                Precision::Bf16 => whisper::Precision::Bf16,
                Precision::Int8 => whisper::Precision::Int8,
            },
        })
    }

    /// The arithmetic that runs with these settings.
    pub fn arithmetic(&self) -> Result<Arithmetic, Refusal> {
        Ok(self.backend()?.arithmetic()?)
    }

    /// What the engine is asked for; refuses the first value that makes no sense.
    pub fn session(&self, pace: engine::Pace) -> Result<SessionSettings, Refusal> {
        check_delay("latency", self.latency_ms)?;
        check_delay("lateness", self.lateness_ms)?;
        let policy = self.policy();
        policy.check()?;
        if self.compat != Compat::None && self.edits().is_any() {
            return Err(Refusal::Edited);
        }
        self.arithmetic()?;
        let source = match self.model.as_deref() {
            None => ModelSource::Demo,
            Some("") => return Err(Refusal::EmptyModel),
            Some(named) => ModelSource::named(named),
        };
        Ok(SessionSettings {
            model: ModelKey {
                source,
                backend: self.backend()?,
            },
            policy,
            alignment_heads: self
                .alignment_heads
                .as_deref()
                .map(parse_heads)
                .transpose()?,
            cif_model: self.cif_model.as_deref().map(Into::into),
            pace,
            vad: self.detector()?,
            barge_in: self.interruptions()?,
            max_streams: self.max_streams,
            dump: self.dump(),
        })
    }
}

/// Refuses a `latency` or `lateness` beyond an hour.
pub fn check_delay(name: &'static str, ms: u32) -> Result<(), Refusal> {
    if ms > LONGEST_MS {
        return Err(Refusal::TooLong(name, ms));
    }
    Ok(())
}

fn parse_device(device: &str) -> Result<Device, Refusal> {
    match device.trim().to_ascii_lowercase().as_str() {
        "cpu" => Ok(Device::Cpu),
        "cuda" => Ok(Device::Cuda(0)),
        other => other
            .strip_prefix("cuda:")
            .and_then(|number| number.parse().ok())
            .map(Device::Cuda)
            .ok_or_else(|| Refusal::UnknownDevice(device.into())),
    }
}

fn parse_heads(text: &str) -> Result<Vec<AlignmentHead>, Refusal> {
    text.split(',')
        .map(|pair| {
            let (layer, head) = pair.split_once(':')?;
            Some(AlignmentHead {
                layer: layer.trim().parse().ok()?,
                head: head.trim().parse().ok()?,
            })
        })
        .zip(text.split(','))
        .map(|(head, pair)| head.ok_or_else(|| Refusal::Heads(text.into(), pair.into())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_heads_are_layer_colon_head() {
        let heads = parse_heads("2:2, 3:0").unwrap();
        let pairs: Vec<_> = heads.iter().map(|h| (h.layer, h.head)).collect();
        assert_eq!(pairs, [(2, 2), (3, 0)]);
    }

    #[test]
    fn a_wrong_head_is_named() {
        for (text, wrong) in [("2:2,3", "\"3\""), ("", "\"\""), ("1:-1", "\"1:-1\"")] {
            let refusal = parse_heads(text).unwrap_err().to_string();
            assert!(refusal.contains(wrong), "{refusal}");
        }
    }

    #[test]
    fn a_device_is_cpu_or_cuda_and_a_number() {
        assert_eq!(parse_device("CPU").unwrap(), Device::Cpu);
        assert_eq!(parse_device("cuda:1").unwrap(), Device::Cuda(1));
        for wrong in ["tpu", "cuda:", "cuda:-1", "cuda:one"] {
            let refusal = parse_device(wrong).unwrap_err().to_string();
            assert!(refusal.contains(wrong), "{refusal}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn cuda_is_refused_with_the_remedy() {
        let settings = Settings {
            device: "cuda:1".into(),
            ..Settings::default()
        };
        let refusal = settings.session(engine::Pace::Exact).unwrap_err();
        let refusal = refusal.to_string();
        for part in ["\"cuda:1\"", "--features cuda", "driver", "\"cpu\""] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn int8_is_for_the_cpu() {
        let settings = Settings {
            device: "cuda:0".into(),
            precision: Precision::Int8,
            ..Settings::default()
        };
        let refusal = settings.arithmetic().unwrap_err().to_string();
        assert!(
            refusal.contains("int8") && refusal.contains("f16"),
            "{refusal}"
        );
    }

    #[test]
    fn auto_is_f32_on_a_cpu() {
        let of = |precision| Settings {
            precision,
            ..Settings::default()
        };
        let runs = |precision| of(precision).arithmetic().unwrap().to_string();
        let all = [
            Precision::Auto,
            Precision::F32,
            Precision::Bf16,
            Precision::Int8,
        ];
        assert_eq!(all.map(runs), ["f32", "f32", "bf16", "int8"]);
    }

    #[test]
    fn a_latency_of_days_is_refused() {
        assert!(check_delay("latency", LONGEST_MS).is_ok());
        let refusal = check_delay("latency", u32::MAX).unwrap_err().to_string();
        assert!(refusal.contains("latency is 4294967295 ms"), "{refusal}");
    }
}
