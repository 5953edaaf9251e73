// SPDX-License-Identifier: MPL-2.0
//! Words with their times, of samples that a program has (S16LE, 16 kHz, mono), without a plugin to install:
//! `arecord -q -f S16_LE -r 16000 | cargo run --release --example embed -- fr`.

use std::error::Error;
use std::io::Read;

use gst::prelude::*;

const SECOND: u64 = 32_000; // bytes

fn main() -> Result<(), Box<dyn Error>> {
    gst::init()?;
    gstwhisperstream::plugin_register_static()?;
    let source = gst_app::AppSrc::builder()
        .caps(&"audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved".parse()?)
        .format(gst::Format::Time)
        .build();
    let ears = gst::ElementFactory::make("whisperstream").build()?;
    ears.set_property(
        "language",
        std::env::args().nth(1).as_deref().unwrap_or("auto"),
    );
    let sink = gst::ElementFactory::make("fakesink").build()?;
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([source.upcast_ref(), &ears, &sink])?;
    gst::Element::link_many([source.upcast_ref(), &ears, &sink])?;
    let bus = pipeline.bus().ok_or("a pipeline has a bus")?;
    // If it does not start, the bus has the reason.
    let _ = pipeline.set_state(gst::State::Playing);

    let mut pushed = Some(0);
    loop {
        let room = pushed.filter(|_| source.current_level_bytes() < SECOND);
        let wait = gst::ClockTime::from_mseconds(if room.is_some() { 0 } else { 20 });
        match (bus.timed_pop(wait), room) {
            (None, Some(position)) => {
                let mut samples = Vec::new();
                std::io::stdin()
                    .take(SECOND / 10)
                    .read_to_end(&mut samples)?;
                pushed = (!samples.is_empty()).then_some(position + samples.len() as u64);
                if pushed.is_none() {
                    source.end_of_stream()?;
                    continue;
                }
                let mut buffer = gst::Buffer::from_slice(samples);
                let pts = gst::ClockTime::SECOND.mul_div_floor(position, SECOND);
                buffer.make_mut().set_pts(pts);
                source.push_buffer(buffer)?;
            }
            (None, None) => {}
            (Some(message), _) => match message.view() {
                gst::MessageView::Error(err) => {
                    pipeline.set_state(gst::State::Null)?;
                    return Err(err.error().to_string().into());
                }
                gst::MessageView::Eos(_) => break,
                gst::MessageView::Element(_) if message.has_name("whisperstream/words") => {
                    for word in message
                        .structure()
                        .ok_or("empty")?
                        .get::<gst::ArrayRef>("words")?
                        .iter()
                    {
                        let word = word.get::<gst::Structure>()?;
                        let seconds = |field| word.get::<u64>(field).map(|ns| ns as f64 / 1e9);
                        let text = word.get::<&str>("text")?;
                        println!("{:7.2} {:7.2} {text}", seconds("start")?, seconds("end")?);
                    }
                }
                _ => {}
            },
        }
    }
    pipeline.set_state(gst::State::Null)?;
    Ok(())
}
