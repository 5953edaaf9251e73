// SPDX-License-Identifier: MPL-2.0

//! A voice bot's call: who answers, then a prompt that stops when it is interrupted, or a message behind the beep.
//!
//!     cargo run --release --example voicebot                       # a human, who interrupts
//!     cargo run --release --example voicebot -- --callee machine   # an answering machine with a beep
//!     cargo run --release --example voicebot -- --callee call.wav --prompt offer.wav --language en
//!
//! The callee is built by espeak-ng (or is a recording), and comes over a G.711 line in real time. Everything else is what a bot
//! would run: `beepdetect ! whisperstream ! answerdetect`, and a prompt that is also given to `whisperstream`'s `far_end`.
//! Each reaction is printed with its time; "after" is how long after the sound in question it came.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use gst::ClockTime;
use gst::prelude::*;

/// A voice bot's call, with the times of its reactions.
#[derive(Parser)]
struct Args {
    /// Who answers: human, machine, or a recording of what the callee says.
    #[arg(long, default_value = "human")]
    callee: String,
    /// What the bot says; left out: built by espeak-ng.
    #[arg(long)]
    prompt: Option<PathBuf>,
    /// fr or en.
    #[arg(long, default_value = "fr")]
    language: String,
    /// Directory or file of a Whisper model, or its id on the hub; left out: the bundled demo model.
    #[arg(long)]
    model: Option<String>,
    /// Speech that interrupts, in ms.
    #[arg(long, default_value_t = 400)]
    barge_in_after: u32,
    /// Time until it must be known who answers, in ms of audio.
    #[arg(long, default_value_t = 2300)]
    decision_time: u32,
}

/// What the callee does.
enum Act {
    Silence(u64),
    Say(&'static str),
    Beep(u64),
}

use Act::{Beep, Say, Silence};

const FRENCH_HUMAN: &[Act] = &[
    Silence(700),
    Say("allô oui bonjour"),
    Silence(3_500),
    Say("non attendez je voudrais parler à quelqu'un"),
    Silence(2_500),
];
const ENGLISH_HUMAN: &[Act] = &[
    Silence(700),
    Say("hello yes"),
    Silence(3_500),
    Say("no wait I would like to speak to somebody"),
    Silence(2_500),
];
const FRENCH_MACHINE: &[Act] = &[
    Silence(700),
    Say("vous êtes bien sur la messagerie de Jean Dupont. laissez un message après le bip"),
    Silence(400),
    Beep(600),
    Silence(6_000),
];
const ENGLISH_MACHINE: &[Act] = &[
    Silence(700),
    Say("you have reached the voicemail of John Smith. please leave a message after the tone"),
    Silence(400),
    Beep(600),
    Silence(6_000),
];

const CAPS: &str = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";

fn main() {
    if let Err(error) = run(&Args::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstwhisperstream::plugin_register_static()?;
    let folder = std::env::temp_dir().join(format!("voicebot-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let ended = call(args, &folder);
    // Whatever is left there is the system's to clean.
    let _ = std::fs::remove_dir_all(&folder);
    ended
}

fn call(args: &Args, folder: &Path) -> Result<(), Box<dyn Error>> {
    let is_french = args.language.starts_with("fr");
    let acts = match (args.callee.as_str(), is_french) {
        ("human", true) => Some(FRENCH_HUMAN),
        ("human", false) => Some(ENGLISH_HUMAN),
        ("machine", true) => Some(FRENCH_MACHINE),
        ("machine", false) => Some(ENGLISH_MACHINE),
        _ => None,
    };
    let voice = if is_french {
        "fr-fr+f2"
    } else {
        "en-gb-x-rp+f2"
    };
    let callee = match acts {
        Some(acts) => script(acts, voice, folder)?,
        None => format!("{} ! callee.", recording(Path::new(&args.callee))?),
    };
    let prompt = match &args.prompt {
        Some(file) => file.clone(),
        None => {
            let text = if is_french {
                "bonjour je vous appelle au sujet de votre contrat avez-vous deux minutes nous avons une bonne nouvelle"
            } else {
                "hello I am calling about your contract do you have two minutes we have good news for you"
            };
            speak(text, "fr-fr+m3", &folder.join("prompt.wav"))?
        }
    };
    // The mixer makes one stream of its parts. The line: G.711, in real time.
    let description = format!(
        "concat name=callee ! audiomixer ! audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! mulawdec \
         ! audioconvert ! audioresample ! {CAPS} ! clocksync ! beepdetect ! whisperstream name=ears pace=live \
         ! answerdetect name=answer ! fakesink sync=false {callee}"
    );
    let pipeline = gst::parse::launch(&description)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "that is no pipeline")?;
    let element = |name: &str| pipeline.by_name(name).ok_or("an element is missing");
    let ears = element("ears")?;
    ears.set_property("language", &args.language);
    ears.set_property("model", &args.model);
    ears.set_property("barge-in-after", args.barge_in_after);
    element("answer")?.set_property("decision-time", args.decision_time);
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    let bot = Bot {
        pipeline: pipeline.clone(),
        ears,
        prompt: recording(&prompt)?,
    };
    let ended = follow(&bot, &bus);
    let _ = pipeline.set_state(gst::State::Null);
    ended
}

/// Reads the bus: this is the bot.
fn follow(bot: &Bot, bus: &gst::Bus) -> Result<(), Box<dyn Error>> {
    // A call begins when the model is there.
    let _ = bot.pipeline.set_state(gst::State::Paused);
    bot.pipeline.state(ClockTime::from_seconds(120)).0?;
    let _ = bot.pipeline.set_state(gst::State::Playing);
    bot.say("the call is answered");
    let mut playing = None;
    let mut greeted = false;
    for message in bus.iter_timed(ClockTime::NONE) {
        let told = match message.view() {
            gst::MessageView::Error(error) => return Err(error.error().to_string().into()),
            gst::MessageView::Eos(_) => {
                bot.say("the callee has hung up");
                return Ok(());
            }
            _ => message.structure(),
        };
        let Some(told) = told else { continue };
        let time = |field: &str| told.get::<u64>(field).map(ClockTime::from_nseconds);
        match told.name().as_str() {
            "whisperstream/speech-start" => {
                let after = bot.after(time("running-time")?);
                bot.say(&format!("somebody speaks ({after} after they began)"));
            }
            "whisperstream/final" => {
                bot.say(&format!("  they said: {}", told.get::<&str>("text")?))
            }
            "answerdetect/verdict" => {
                let result = told.get::<&str>("result")?;
                bot.say(&format!(
                    "who answers: {} (by {}, {:.0} % sure, {:.2} s of audio)",
                    result.to_uppercase(),
                    told.get::<&str>("cause")?,
                    100.0 * told.get::<f64>("confidence")?,
                    time("took")?.nseconds() as f64 / 1e9,
                ));
                match result {
                    "human" | "unknown" => playing = Some(bot.start_prompt()?),
                    "machine" => {}
                    _ => {
                        bot.say("the bot hangs up");
                        return Ok(());
                    }
                }
            }
            "whisperstream/barge-in" => {
                if let Some(prompt) = playing.take() {
                    let after = bot.after(time("running-time")?);
                    let speech = time("speech")?.mseconds();
                    bot.stop_prompt(&prompt);
                    bot.say(&format!(
                        "interrupted after {speech} ms of speech ({after} after it began): the prompt has stopped"
                    ));
                }
            }
            "answerdetect/beep" | "answerdetect/greeting-end" => {
                let what = told
                    .name()
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let after = bot.after(time("running-time")?);
                bot.say(&format!("{what} ({after} after it began)"));
                let by_beep = what == "beep" || told.get::<&str>("cause") == Ok("beep");
                if by_beep && !std::mem::replace(&mut greeted, true) {
                    playing = Some(bot.start_prompt()?);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

struct Bot {
    pipeline: gst::Pipeline,
    ears: gst::Element,
    /// What reads the prompt, as `gst-launch-1.0` would have it.
    prompt: String,
}

impl Bot {
    fn now(&self) -> ClockTime {
        self.pipeline.current_running_time().unwrap_or_default()
    }

    fn say(&self, what: &str) {
        println!("{:>6.2} s  {what}", self.now().nseconds() as f64 / 1e9);
    }

    fn after(&self, sound: ClockTime) -> String {
        format!(
            "{:.2} s",
            self.now().saturating_sub(sound).nseconds() as f64 / 1e9
        )
    }

    /// Plays it to the callee, and to the ears, so that its echo interrupts nobody.
    fn start_prompt(&self) -> Result<gst::Bin, Box<dyn Error>> {
        let description = format!(
            "{} ! identity name=file ! clocksync ! tee name=prompt ! queue ! fakesink sync=false async=false \
             prompt. ! queue name=out",
            self.prompt
        );
        let bin = gst::parse::bin_from_description(&description, false)?;
        let out = bin.by_name("out").ok_or("an element is missing")?;
        let pad = out.static_pad("src").ok_or("a pad is missing")?;
        let ghost = gst::GhostPad::with_target(&pad)?;
        // The file's time begins now.
        let start = i64::try_from(self.now().nseconds())?;
        let file = bin.by_name("file").ok_or("an element is missing")?;
        file.static_pad("src")
            .ok_or("a pad is missing")?
            .set_offset(start);
        bin.add_pad(&ghost)?;
        self.pipeline.add(&bin)?;
        let far = match self.ears.static_pad("far_end") {
            Some(far) => far,
            None => self
                .ears
                .request_pad_simple("far_end")
                .ok_or("there is no far_end")?,
        };
        ghost.link(&far)?;
        bin.sync_state_with_parent()?;
        self.say("the prompt starts");
        Ok(bin)
    }

    fn stop_prompt(&self, prompt: &gst::Bin) {
        let _ = prompt.set_state(gst::State::Null);
        let _ = self.pipeline.remove(prompt);
    }
}

/// The callee's script as the inputs of `concat name=callee`.
fn script(acts: &[Act], voice: &str, folder: &Path) -> Result<String, Box<dyn Error>> {
    let mut inputs = Vec::new();
    for (n, act) in acts.iter().enumerate() {
        let tone = |ms: u64, wave: &str| {
            // Buffers of 10 ms.
            let buffers = ms / 10;
            format!("audiotestsrc {wave} samplesperbuffer=160 num-buffers={buffers} ! {CAPS}")
        };
        inputs.push(match act {
            Silence(ms) => tone(*ms, "wave=pink-noise volume=0.0005"),
            Beep(ms) => tone(*ms, "wave=sine freq=1000 volume=0.3"),
            Say(text) => recording(&speak(text, voice, &folder.join(format!("{n}.wav")))?)?,
        });
    }
    let inputs: Vec<String> = inputs
        .into_iter()
        .map(|input| format!("{input} ! queue ! callee."))
        .collect();
    Ok(inputs.join(" "))
}

/// What reads a recording, as `gst-launch-1.0` would have it.
fn recording(file: &Path) -> Result<String, Box<dyn Error>> {
    if !file.is_file() {
        return Err(format!("{} is not there", file.display()).into());
    }
    let name = file
        .display()
        .to_string()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    Ok(format!(
        "filesrc location=\"{name}\" ! decodebin ! audioconvert ! audioresample ! {CAPS}"
    ))
}

/// Has espeak-ng say it.
fn speak(text: &str, voice: &str, file: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let said = Command::new("espeak-ng")
        .args(["-v", voice, "-w"])
        .arg(file)
        .arg(text)
        .status()
        .map_err(|err| format!("espeak-ng cannot be run ({err}); install it (Debian: espeak-ng), or give --callee and --prompt recordings"))?;
    match said.success() {
        true => Ok(file.into()),
        false => Err(format!("espeak-ng could not say {text:?} in the voice {voice}").into()),
    }
}
