//! The properties: what they are called and what they say of themselves, read and written.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, WhisperStream, lock};
use super::settings::{Settings, check_delay};
use super::{
    AudioCtx, BufferTrimming, Compat, Fillers, Pace, Policy, Precision, Redact, Task, Unit, Vad,
};

static DEFAULTS: LazyLock<Settings> = LazyLock::new(Settings::default);

/// When a property may change.
#[derive(Clone, Copy)]
enum Changes {
    /// In NULL and READY; later, from the next READY→PAUSED on.
    Ready,
    Playing,
}

impl Changes {
    fn flags(self) -> glib::ParamFlags {
        glib::ParamFlags::READWRITE
            | match self {
                Changes::Ready => gst::PARAM_FLAG_MUTABLE_READY,
                Changes::Playing => gst::PARAM_FLAG_MUTABLE_PLAYING,
            }
    }
}

/// All properties of the element. Ranges are wide: the element itself refuses a value, in a sentence that names it.
pub fn all() -> Vec<glib::ParamSpec> {
    use Changes::{Playing, Ready};
    let d = &*DEFAULTS;
    vec![
        text(
            "model",
            "Whisper model: a Hugging Face directory, one file of any name (safetensors, OpenAI's .pt, whisper.cpp's ggml, GGUF), or an id on the hub (org/name or org/name@revision), fetched when first used; unset: the bundled demo model",
            d.model.as_deref(),
            Ready,
        ),
        text(
            "device",
            "Where the network runs: cpu, or cuda:N for a GPU",
            Some(&d.device),
            Ready,
        ),
        choice(
            "precision",
            "Arithmetic of the network; what is narrower than auto's is faster and less exact",
            d.precision,
            Ready,
        ),
        text("language", LANGUAGE, Some(&d.policy.language), Playing),
        text(
            "languages",
            "Among which languages language=auto chooses, comma-separated codes, names or BCP-47 tags (fr,en); unset: all",
            None,
            Ready,
        ),
        text("language-code", LANGUAGE_CODE, Some(&d.policy.language), Playing),
        choice(
            "task",
            "Write down what is said, or its English translation; from the next utterance on",
            d.task,
            Playing,
        ),
        choice(
            "policy",
            "How it is decided what may be said; only alignatt goes with compat=simulstreaming",
            d.rule,
            Ready,
        ),
        choice(
            "compat",
            "Whose decisions are reproduced: whisperstream's own, or the reference implementation's, token for token",
            d.compat,
            Ready,
        ),
        choice(
            "pace",
            "When passes run; auto: live if upstream is live, else exact",
            d.pace,
            Ready,
        ),
        number(
            "max-streams",
            "Most streams on one model in this process, this one included; one more is refused at READY to PAUSED. 0: no limit",
            d.max_streams,
            Ready,
        ),
        number(
            "min-chunk-size",
            "Audio gathered before each pass, in milliseconds: 20 to less than audio-max-len",
            d.policy.min_chunk_ms,
            Ready,
        ),
        number(
            "audio-min-len",
            "Audio needed before the first pass of an utterance, in milliseconds: 0 to audio-max-len",
            d.policy.audio_min_len_ms,
            Ready,
        ),
        number(
            "audio-max-len",
            "Longest audio that a pass hears, in milliseconds: more than min-chunk-size, at most 30000; live, also the longest backlog before audio is dropped",
            d.policy.audio_max_len_ms,
            Ready,
        ),
        choice(
            "buffer-trimming",
            "Where policy=local-agreement cuts its buffer when it is longer than buffer-trimming-len; where there is no such place, at the last word told",
            d.buffer_trimming,
            Ready,
        ),
        number(
            "buffer-trimming-len",
            "Longest audio that policy=local-agreement hears before it cuts what it has told, in milliseconds: 0 to 30000, and never more than audio-max-len",
            d.policy.buffer_trimming_ms,
            Ready,
        ),
        number(
            "frame-threshold",
            "A token whose attention comes this close to the end of the audio is not believed yet, in frames of 20 ms: 0 to 1499",
            d.policy.frame_threshold,
            Ready,
        ),
        number(
            "rewind-threshold",
            "A pass whose attention jumps back by more than this is discarded, in frames of 20 ms",
            d.policy.rewind_threshold,
            Ready,
        ),
        text(
            "init-prompt",
            "Text before the stream's own, in its language: names and terms to expect; it scrolls out in time; from the next utterance on. Unset: none",
            d.policy.init_prompt.as_deref(),
            Playing,
        ),
        text(
            "static-init-prompt",
            "As init-prompt, but it stays for the whole stream. Unset: none",
            d.policy.static_init_prompt.as_deref(),
            Playing,
        ),
        text(
            "keyterms",
            "Names and terms to expect, comma-separated: they stay in front of all text, behind static-init-prompt; from the next utterance on. Unset: none",
            d.policy.keyterms.as_deref(),
            Playing,
        ),
        number(
            "max-context-tokens",
            "Most tokens of earlier text that a pass is reminded of: 0 to 448",
            d.policy.max_context_tokens,
            Ready,
        ),
        number(
            "beams",
            "Hypotheses that decoding follows at a time: 1 (the best token, always) to 16; five cost some 1.4 times the steps of one",
            d.policy.beams,
            Ready,
        ),
        glib::ParamSpecFloat::builder("temperature")
            .nick("Temperature")
            .blurb("An utterance's last pass that fails (loops, or is guessed) is decoded again with sampling, at 0.2, 0.4 and so on up to this; at most 1. 0: never")
            .default_value(d.policy.temperature)
            .flags(Ready.flags())
            .build(),
        flag(
            "truncate-last-word",
            "Drop the last word of every pass but the last of an utterance; it is heard again in the next",
            d.policy.truncate_last_word,
            Ready,
        ),
        text(
            "alignment-heads",
            "Cross-attention heads that follow the audio, as layer:head,... counted from 0; unset: the model's own",
            d.alignment_heads.as_deref(),
            Ready,
        ),
        text(
            "cif-model",
            "Checkpoint that tells where words end, made for the Whisper model in use: the last word of a pass is dropped if the audio ends within it. Unset: none",
            d.cif_model.as_deref(),
            Ready,
        ),
        choice(
            "audio-ctx",
            "How much of the 30 seconds that the model hears is computed; only exact goes with compat=simulstreaming",
            d.audio_ctx,
            Ready,
        ),
        choice(
            "unit",
            "What one buffer holds: a word, what a pass released, or a caption of two lines of 42 characters, 7 seconds at most",
            d.unit,
            Ready,
        ),
        flag(
            "interim",
            "Post partial messages: text that may still change",
            d.policy.interim,
            Playing,
        ),
        choice(
            "vad",
            "What tells speech from everything else: passes run only while there is some, and its start and end are told",
            d.vad,
            Ready,
        ),
        glib::ParamSpecDouble::builder("vad-threshold")
            .nick("Vad threshold")
            .blurb("Probability of voice at which speech starts, above 0.15 and below 1; it goes on while the probability is 0.15 less")
            .default_value(d.voice.threshold)
            .flags(Ready.flags())
            .build(),
        number(
            "vad-min-speech",
            "Voice shorter than this is no speech, in milliseconds: 16 to 5000",
            d.voice.min_speech_ms,
            Ready,
        ),
        number(
            "vad-min-silence",
            "A pause shorter than this is part of the speech, in milliseconds: 50 to 10000",
            d.voice.min_silence_ms,
            Ready,
        ),
        number(
            "barge-in-after",
            "Speech after which a speaker is taken to interrupt, in milliseconds (300 to 500 is good practice); backchannels alone do not. 0: never",
            d.barge_in.after_ms,
            Playing,
        ),
        number(
            "barge-in-min-words",
            "Words after which a speaker is taken to interrupt; backchannels alone do not. 0: never",
            d.barge_in.min_words,
            Playing,
        ),
        text(
            "leg",
            "Name of this side of the call, copied into messages, events and JSON; unset: none",
            d.leg.as_deref(),
            Ready,
        ),
        choice(
            "fillers",
            "What becomes of hesitations (euh, um, er); not with compat=simulstreaming",
            d.fillers,
            Ready,
        ),
        choice(
            "redact",
            "What is masked by # in all that is told; where it was spoken is told by whisperstream/redact, so that it can be muted. Not with compat=simulstreaming",
            d.redact,
            Ready,
        ),
        text(
            "dump-dir",
            "Directory in which each stream is recorded, audio and every decision, for examples/replay; made if it is not there. Unset: none",
            d.dump_dir.as_deref(),
            Ready,
        ),
        glib::ParamSpecBoxed::builder::<glib::Bytes>("resume")
            .nick("Resume")
            .blurb("Stream to go on with, as the field state of a message whisperstream/saved has it: the same words at the same times as where it was saved. All other properties must be that one's. Unset: a new stream")
            .mutable_ready()
            .build(),
        number(
            "latency",
            "Time that text may take, in milliseconds: 0 to 3600000. Added to the pipeline's latency if upstream is live; GAP events never lag the input by more",
            d.latency_ms,
            Playing,
        ),
        number(
            "lateness",
            "Time by which text is presented later than it was spoken, without delaying the other streams, in milliseconds: 0 to 3600000",
            d.lateness_ms,
            Playing,
        ),
        glib::ParamSpecBoolean::builder("speaking")
            .nick("Speaking")
            .blurb("Somebody speaks, by the voice detector; notified")
            .read_only()
            .build(),
        glib::ParamSpecUInt::builder("speech-duration")
            .nick("Speech duration")
            .blurb("Speech so far, pauses left out, in milliseconds; 0 while nobody speaks")
            .read_only()
            .build(),
        glib::ParamSpecUInt::builder("max-observed-delay")
            .nick("Max observed delay")
            .blurb("Longest time that text took so far, in milliseconds, if upstream is live; notified")
            .read_only()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Stats")
            .blurb("Figures of the stream: model, device, precision, loaded, streams, passes, skipped, late, pass-time-p50, pass-time-p95, waiting-p50, waiting-p95, network-time, batch-mean, degradation, degradations, chunk-to-text-p50, chunk-to-text-p95, lag, backlog, dropped, clamped, guards, memory; times in nanoseconds, memory in bytes")
            .read_only()
            .build(),
    ]
}

const LANGUAGE: &str = "Language spoken: a Whisper code, a name or a BCP-47 tag (fr, french, fr-FR), or auto to detect it; from the next utterance on";
const LANGUAGE_CODE: &str = "The same value as language, under the name that transcribers share";

fn nick(name: &str) -> String {
    let mut words = name.replace('-', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn text(name: &str, blurb: &str, default: Option<&str>, changes: Changes) -> glib::ParamSpec {
    glib::ParamSpecString::builder(name)
        .nick(nick(name).as_str())
        .blurb(blurb)
        .default_value(default)
        .flags(changes.flags())
        .build()
}

fn number(name: &str, blurb: &str, default: u32, changes: Changes) -> glib::ParamSpec {
    glib::ParamSpecUInt::builder(name)
        .nick(nick(name).as_str())
        .blurb(blurb)
        .default_value(default)
        .flags(changes.flags())
        .build()
}

fn flag(name: &str, blurb: &str, default: bool, changes: Changes) -> glib::ParamSpec {
    glib::ParamSpecBoolean::builder(name)
        .nick(nick(name).as_str())
        .blurb(blurb)
        .default_value(default)
        .flags(changes.flags())
        .build()
}

fn choice<T>(name: &str, blurb: &str, default: T, changes: Changes) -> glib::ParamSpec
where
    T: StaticType
        + glib::translate::FromGlib<i32>
        + glib::translate::IntoGlib<GlibType = i32>
        + glib::HasParamSpec<ParamSpec = glib::ParamSpecEnum>,
{
    glib::ParamSpecEnum::builder_with_default(name, default)
        .nick(nick(name).as_str())
        .blurb(blurb)
        .flags(changes.flags())
        .build()
}

/// A value of the type that the pspec has made sure of.
fn get<'a, T: glib::value::FromValue<'a>>(value: &'a glib::Value) -> Option<T> {
    value.get::<T>().ok()
}

impl WhisperStream {
    /// Takes a property's new value over. What can change while playing and makes no sense is refused with a WARNING;
    /// the rest is judged at READY→PAUSED.
    pub(super) fn change(&self, name: &str, value: &glib::Value) {
        let before = lock(&self.settings).clone();
        let mut after = before.clone();
        if store(&mut after, name, value).is_none() {
            gst::error!(CAT, imp = self, "no property {name} of this type");
            return;
        }
        let is_running = self.session().is_some();
        if is_running && let Err(refusal) = after.judge(name) {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("{refusal}; the value before stays")
            );
            return;
        }
        let forget_model = before.model != after.model
            || before.device != after.device
            || before.precision != after.precision;
        let latency_changed = before.latency_ms != after.latency_ms;
        *lock(&self.settings) = after;
        match name {
            "language" => self.obj().notify("language-code"),
            "language-code" => self.obj().notify("language"),
            _ => {}
        }
        if forget_model && !is_running {
            self.unpark();
        }
        if latency_changed {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            let _ = self.obj().post_message(message);
        }
        if !is_running {
            return;
        }
        if name.starts_with("barge-in-")
            && let Some(session) = self.session()
        {
            session.barge_in(lock(&self.settings).barge_in);
        }
        let followed = [
            "language",
            "language-code",
            "task",
            "interim",
            "init-prompt",
            "static-init-prompt",
            "keyterms",
        ];
        if followed.contains(&name) || name.starts_with("barge-in-") {
            self.follow(before);
        }
    }

    /// Has the running session follow the settings; `before` is what to return to if it refuses.
    fn follow(&self, before: Settings) {
        let policy = lock(&self.settings).policy();
        lock(&self.held).accepted = Some(before);
        if let Err(error) = self.update_policy() {
            self.restore_policy();
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("{error}; the value before stays")
            );
            return;
        }
        if let Ok(crate::policy::LanguageChoice::Fixed(language)) = policy.language_choice() {
            lock(&self.held).next_language = Some(language.code);
        }
    }

    /// The session refused what it was asked to follow: the properties are as before.
    pub(super) fn restore_policy(&self) {
        let Some(before) = lock(&self.held).accepted.take() else {
            return;
        };
        {
            let mut settings = lock(&self.settings);
            settings.policy = before.policy;
            settings.task = before.task;
        }
        let prompts = ["init-prompt", "static-init-prompt", "keyterms"];
        for name in ["language", "language-code", "task"].iter().chain(&prompts) {
            self.obj().notify(name);
        }
    }

    /// A property's value.
    pub(super) fn read(&self, pspec: &glib::ParamSpec) -> glib::Value {
        let s = lock(&self.settings).clone();
        let p = &s.policy;
        match pspec.name() {
            "model" => s.model.to_value(),
            "device" => s.device.to_value(),
            "precision" => s.precision.to_value(),
            "language" | "language-code" => p.language.to_value(),
            "languages" => Some(&p.languages).filter(|l| !l.is_empty()).to_value(),
            "task" => s.task.to_value(),
            "policy" => s.rule.to_value(),
            "compat" => s.compat.to_value(),
            "pace" => s.pace.to_value(),
            "max-streams" => s.max_streams.to_value(),
            "min-chunk-size" => p.min_chunk_ms.to_value(),
            "audio-min-len" => p.audio_min_len_ms.to_value(),
            "audio-max-len" => p.audio_max_len_ms.to_value(),
            "buffer-trimming" => s.buffer_trimming.to_value(),
            "buffer-trimming-len" => p.buffer_trimming_ms.to_value(),
            "frame-threshold" => p.frame_threshold.to_value(),
            "rewind-threshold" => p.rewind_threshold.to_value(),
            "init-prompt" => p.init_prompt.to_value(),
            "static-init-prompt" => p.static_init_prompt.to_value(),
            "keyterms" => p.keyterms.to_value(),
            "max-context-tokens" => p.max_context_tokens.to_value(),
            "beams" => p.beams.to_value(),
            "temperature" => p.temperature.to_value(),
            "truncate-last-word" => p.truncate_last_word.to_value(),
            "alignment-heads" => s.alignment_heads.to_value(),
            "cif-model" => s.cif_model.to_value(),
            "audio-ctx" => s.audio_ctx.to_value(),
            "unit" => s.unit.to_value(),
            "interim" => p.interim.to_value(),
            "vad" => s.vad.to_value(),
            "vad-threshold" => s.voice.threshold.to_value(),
            "vad-min-speech" => s.voice.min_speech_ms.to_value(),
            "vad-min-silence" => s.voice.min_silence_ms.to_value(),
            "barge-in-after" => s.barge_in.after_ms.to_value(),
            "barge-in-min-words" => s.barge_in.min_words.to_value(),
            "leg" => s.leg.to_value(),
            "fillers" => s.fillers.to_value(),
            "redact" => s.redact.to_value(),
            "dump-dir" => s.dump_dir.to_value(),
            "resume" => s.resume.to_value(),
            "speaking" => (self.speech_so_far().is_some()).to_value(),
            "speech-duration" => {
                let ms = self.speech_so_far().map_or(0, |speech| speech.as_millis());
                u32::try_from(ms).unwrap_or(u32::MAX).to_value()
            }
            "latency" => s.latency_ms.to_value(),
            "lateness" => s.lateness_ms.to_value(),
            "max-observed-delay" => self.observed_delay_ms.load(Ordering::Relaxed).to_value(),
            "stats" => self.stats().to_value(),
            _ => pspec.default_value().clone(),
        }
    }
}

impl Settings {
    /// Whether property `name` makes sense as it is now.
    fn judge(&self, name: &str) -> Result<(), super::settings::Refusal> {
        match name {
            "language" | "language-code" => Ok(self.policy.language_choice().map(|_| ())?),
            "latency" => check_delay("latency", self.latency_ms),
            "lateness" => check_delay("lateness", self.lateness_ms),
            "barge-in-after" | "barge-in-min-words" => self.interruptions().map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// Writes a value where it belongs.
fn store(s: &mut Settings, name: &str, value: &glib::Value) -> Option<()> {
    let p = &mut s.policy;
    match name {
        "model" => s.model = get(value)?,
        "device" => s.device = get::<Option<String>>(value)?.unwrap_or(DEFAULTS.device.clone()),
        "language" | "language-code" => {
            p.language = get::<Option<String>>(value)?.unwrap_or(DEFAULTS.policy.language.clone());
        }
        "languages" => p.languages = get::<Option<String>>(value)?.unwrap_or_default(),
        "precision" => s.precision = get::<Precision>(value)?,
        "task" => s.task = get::<Task>(value)?,
        "policy" => s.rule = get::<Policy>(value)?,
        "compat" => s.compat = get::<Compat>(value)?,
        "pace" => s.pace = get::<Pace>(value)?,
        "max-streams" => s.max_streams = get(value)?,
        "min-chunk-size" => p.min_chunk_ms = get(value)?,
        "audio-min-len" => p.audio_min_len_ms = get(value)?,
        "audio-max-len" => p.audio_max_len_ms = get(value)?,
        "buffer-trimming" => s.buffer_trimming = get::<BufferTrimming>(value)?,
        "buffer-trimming-len" => p.buffer_trimming_ms = get(value)?,
        "frame-threshold" => p.frame_threshold = get(value)?,
        "rewind-threshold" => p.rewind_threshold = get(value)?,
        "init-prompt" => p.init_prompt = get(value)?,
        "static-init-prompt" => p.static_init_prompt = get(value)?,
        "keyterms" => p.keyterms = get(value)?,
        "max-context-tokens" => p.max_context_tokens = get(value)?,
        "beams" => p.beams = get(value)?,
        "temperature" => p.temperature = get(value)?,
        "truncate-last-word" => p.truncate_last_word = get(value)?,
        "alignment-heads" => s.alignment_heads = get(value)?,
        "cif-model" => s.cif_model = get(value)?,
        "audio-ctx" => s.audio_ctx = get::<AudioCtx>(value)?,
        "unit" => s.unit = get::<Unit>(value)?,
        "interim" => p.interim = get(value)?,
        "vad" => s.vad = get::<Vad>(value)?,
        "vad-threshold" => s.voice.threshold = get(value)?,
        "vad-min-speech" => s.voice.min_speech_ms = get(value)?,
        "vad-min-silence" => s.voice.min_silence_ms = get(value)?,
        "barge-in-after" => s.barge_in.after_ms = get(value)?,
        "barge-in-min-words" => s.barge_in.min_words = get(value)?,
        "leg" => s.leg = get(value)?,
        "fillers" => s.fillers = get::<Fillers>(value)?,
        "redact" => s.redact = get::<Redact>(value)?,
        "dump-dir" => s.dump_dir = get(value)?,
        "resume" => s.resume = get(value)?,
        "latency" => s.latency_ms = get(value)?,
        "lateness" => s.lateness_ms = get(value)?,
        _ => return None,
    }
    Some(())
}
