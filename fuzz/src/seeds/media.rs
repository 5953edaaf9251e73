//! Half a second of speech in every container that the page's door reads.

use std::error::Error;
use std::path::Path;

use gst::prelude::*;

pub fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    for (name, encoding) in [
        ("webm", "opusenc bitrate=12000 ! webmmux streamable=true"),
        (
            "mp4",
            "audio/x-raw,rate=48000 ! voaacenc bitrate=32000 ! aacparse ! mp4mux fragment-duration=250 streamable=true",
        ),
        ("ogg", "opusenc bitrate=12000 ! oggmux"),
        ("vorbis", "vorbisenc quality=0 ! oggmux"),
        ("wav", "audio/x-raw,rate=8000 ! mulawenc ! wavenc"),
        ("flac", "audio/x-raw,rate=8000 ! flacenc"),
        (
            "mp3",
            "audio/x-raw,rate=16000 ! lamemp3enc target=bitrate bitrate=16 cbr=true",
        ),
        (
            "adts",
            "audio/x-raw,rate=16000 ! voaacenc bitrate=16000 ! aacparse ! audio/mpeg,stream-format=adts",
        ),
    ] {
        match muxed(encoding) {
            Ok(bytes) => super::put(folder, "call-media", name, &bytes)?,
            Err(reason) => eprintln!("no seed {name}: {reason}"),
        }
    }
    Ok(())
}

fn muxed(encoding: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let wav = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/audio/en-short.wav");
    let out = std::env::temp_dir().join(format!("whisperstream-seed-{}", std::process::id()));
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={wav} ! wavparse ! identity eos-after=5 ! audioconvert ! audioresample ! {encoding} ! filesink location={}",
        out.display()
    ))?;
    pipeline.set_state(gst::State::Playing)?;
    let bus = pipeline.bus().ok_or("a pipeline without a bus")?;
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let last = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds);
    pipeline.set_state(gst::State::Null)?;
    let bytes = std::fs::read(&out)?;
    std::fs::remove_file(&out)?;
    match last.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(bytes),
        last => Err(format!("{last:?}").into()),
    }
}
