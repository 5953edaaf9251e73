// SPDX-License-Identifier: MPL-2.0
//! Words with their times, of samples that a program has (S16LE, 16 kHz, mono), without a plugin to install:
//! `arecord -q -f S16_LE -r 16000 | cargo run --release --example embed -- fr`.

use std::error::Error;
use std::io::Read;

use gst::prelude::*;

/// Until there are no more samples, or the pipeline takes none.
fn push(source: gst_app::AppSrc) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut pushed, mut samples) = (0, Vec::new());
    while std::io::stdin().take(3200).read_to_end(&mut samples)? > 0 {
        let size = samples.len() as u64;
        let mut buffer = gst::Buffer::from_slice(std::mem::take(&mut samples));
        buffer
            .make_mut()
            .set_pts(gst::ClockTime::SECOND.mul_div_floor(pushed, 32_000));
        pushed += size;
        source.push_buffer(buffer)?; // waits while there is no room
    }
    source.end_of_stream()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstwhisperstream::plugin_register_static()?;
    let language = std::env::args().nth(1).unwrap_or("auto".into());
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=source format=time block=true max-bytes=32000 \
         caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved \
         ! whisperstream language={language} ! fakesink"
    ))?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| "no pipeline")?;
    let source = pipeline
        .by_name("source")
        .and_downcast()
        .ok_or("no source")?;
    let bus = pipeline.bus().ok_or("no bus")?;
    // If it does not start, the bus has the reason.
    let _ = pipeline.set_state(gst::State::Playing);
    std::thread::spawn(move || push(source));
    for message in bus.iter_timed(None) {
        match message.view() {
            gst::MessageView::Error(err) => {
                pipeline.set_state(gst::State::Null)?;
                return Err(err.error().to_string().into());
            }
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Element(said) if message.has_name("whisperstream/words") => {
                let said = said.structure().ok_or("nothing said")?;
                for word in said.get::<gst::ArrayRef>("words")?.iter() {
                    let word = word.get::<gst::Structure>()?;
                    let seconds = |field| word.get::<u64>(field).map(|ns| ns as f64 / 1e9);
                    let text = word.get::<&str>("text")?;
                    println!("{:7.2} {:7.2} {text}", seconds("start")?, seconds("end")?);
                }
            }
            _ => {}
        }
    }
    pipeline.set_state(gst::State::Null)?;
    Ok(())
}
