// SPDX-License-Identifier: MPL-2.0

//! Text beside other streams: nothing may wait for a word that nobody says.

use crate::runner::*;

/// Longer than the element's latency of 2 s, as the README says; the default of 1 s is too short.
const QUEUE: &str = "queue max-size-time=5000000000 max-size-bytes=0 max-size-buffers=0";

fn mux(input: &str, encoder: &str, file: &std::path::Path) {
    run(&mut launch(&format!(
        "matroskamux name=mux ! filesink location={} \
         {input} ! tee name=split \
         split. ! {QUEUE} ! {encoder} ! mux. \
         split. ! {QUEUE} ! audioconvert ! audioresample ! whisperstream language=fr ! mux.",
        file.display()
    )))
    .ok();
}

/// The words in the file's text track, and the samples in its audio track.
fn demux(file: &std::path::Path) -> (Vec<String>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let (text, sound) = (folder.path().join("srt"), folder.path().join("pcm"));
    run(&mut launch(&format!(
        "filesrc location={} ! matroskademux name=demux \
         demux.subtitle_0 ! {QUEUE} ! srtenc ! filesink location={} \
         demux.audio_0 ! {QUEUE} ! decodebin ! audioconvert ! audioresample \
         ! audio/x-raw,format=S16LE,rate=16000,channels=1 ! filesink location={}",
        file.display(),
        text.display(),
        sound.display()
    )))
    .ok();
    let text = std::fs::read_to_string(text).unwrap();
    let heard = text
        .lines()
        .filter(|line| !line.contains(" --> ") && line.trim().parse::<u32>().is_err())
        .flat_map(words)
        .collect();
    (heard, std::fs::read(sound).unwrap().len() / 2)
}

#[test]
fn a_text_track_is_muxed_beside_the_audio() {
    let folder = tempfile::tempdir().unwrap();
    for encoder in ["opusenc", "flacenc"] {
        let file = folder.path().join(format!("{encoder}.mkv"));
        // opusenc wants 48 kHz of its own, so the conversion stands before the encoder.
        let encoder = format!("audioconvert ! audioresample ! {encoder}");
        mux(
            &format!("filesrc location={} ! wavparse", opening().display()),
            &encoder,
            &file,
        );
        let (heard, samples_muxed) = demux(&file);
        assert_heard(&heard, &spoken_opening());
        let samples = pcm(&opening()).len() / 2;
        assert!(
            samples_muxed.abs_diff(samples) < 16_000 / 10,
            "{samples_muxed} of {samples} samples of sound arrived beside the text ({encoder})"
        );
    }
}

#[test]
fn a_minute_of_silence_does_not_stall_the_muxer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("silence.mkv");
    // 40 s, so that the text branch has nothing to say for far longer than the queues hold.
    mux(
        "audiotestsrc wave=silence samplesperbuffer=1600 num-buffers=400 ! audio/x-raw,rate=16000",
        "audioconvert ! audioresample ! flacenc",
        &file,
    );
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size > 1_000, "the file has {size} bytes");
}

#[test]
fn textoverlay_draws_the_words_when_they_are_due() {
    if !has_element("textoverlay") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let frames = folder.path().join("frames");
    let (width, height, fps, seconds) = (320, 64, 10, 5);
    run(&mut launch(&format!(
        "videotestsrc pattern=black num-buffers={} ! video/x-raw,width={width},height={height},framerate={fps}/1 \
         ! textoverlay name=overlay ! videoconvert ! video/x-raw,format=GRAY8 ! filesink location={} \
         filesrc location={} ! wavparse ! audioconvert ! audioresample ! whisperstream language=fr ! {QUEUE} \
         ! overlay.text_sink",
        fps * seconds,
        frames.display(),
        opening().display()
    )))
    .ok();
    let pixels = std::fs::read(frames).unwrap();
    let frames: Vec<bool> = pixels
        .chunks(width * height)
        .map(|frame| frame.iter().any(|&level| level > 128))
        .collect();
    assert_eq!(frames.len(), fps * seconds);
    let drawn = |from: usize, to: usize| {
        frames[from * fps / 10..to * fps / 10]
            .iter()
            .filter(|&&f| f)
            .count()
    };
    // In tenths of a second. Nobody speaks before 0.4 s; from 1.3 to 3.2 s somebody does all the time.
    assert_eq!(drawn(0, 2), 0, "text before the first word");
    assert!(
        drawn(14, 32) >= 14,
        "text in {} frames of 18",
        drawn(14, 32)
    );
}
