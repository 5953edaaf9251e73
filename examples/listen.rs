// SPDX-License-Identifier: MPL-2.0
//! Prints the words of a WAV file as the element decides them: `cargo run --example listen -- call.wav`.

use gst::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    gst::init()?;
    let file = std::env::args().nth(1).ok_or("usage: listen FILE.wav")?;
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={file} ! wavparse ! audioconvert ! audioresample ! whisperstream ! fakesink"
    ))?;
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    pipeline.set_state(gst::State::Playing)?;

    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Element(_) if message.has_name("whisperstream/words") => {
                let structure = message
                    .structure()
                    .ok_or("an element message has a structure")?;
                for word in structure.get::<gst::ArrayRef>("words")?.iter() {
                    let word = word.get::<gst::Structure>()?;
                    let start = gst::ClockTime::from_nseconds(word.get("start")?);
                    println!("{start:.2} {}", word.get::<&str>("text")?);
                }
            }
            gst::MessageView::Error(err) => {
                return Err(format!("{} ({:?})", err.error(), err.debug()).into());
            }
            gst::MessageView::Eos(_) => break,
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null)?;
    Ok(())
}
