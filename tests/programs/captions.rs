// SPDX-License-Identifier: MPL-2.0

//! The example `captions`: a film comes out with captions in its picture and in a track.

use std::path::Path;

use crate::runner::*;

const QUEUE: &str = "queue max-size-time=0 max-size-bytes=0 max-size-buffers=0";

fn caption(input: &Path, output: &Path) -> Ended {
    let mut command = example("captions");
    command
        .arg(input)
        .arg("--output")
        .arg(output)
        .args(["--language", "fr"]);
    run(&mut command)
}

/// A green film with a caller's opening.
fn film(file: &Path, sound: &str) {
    run(&mut launch(&format!(
        "matroskamux name=mux ! filesink location={} \
         videotestsrc num-buffers=54 pattern=green ! video/x-raw,width=320,height=180,framerate=10/1 ! vp8enc deadline=1 ! queue ! mux. \
         {sound}",
        file.display(),
    )))
    .ok();
}

/// The words of the text track, and the frames of the picture, grey, each of `width` by `height`.
fn demux(file: &Path, width: usize, height: usize) -> (Vec<String>, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let (text, picture) = (folder.path().join("srt"), folder.path().join("grey"));
    run(&mut launch(&format!(
        "filesrc location={} ! matroskademux name=demux \
         demux.subtitle_0 ! {QUEUE} ! srtenc ! filesink location={} \
         demux.audio_0 ! {QUEUE} ! fakesink \
         demux.video_0 ! {QUEUE} ! vp8dec ! videorate ! videoconvert ! video/x-raw,format=GRAY8,framerate=10/1 ! filesink location={}",
        file.display(),
        text.display(),
        picture.display()
    )))
    .ok();
    let text = std::fs::read_to_string(text).unwrap();
    let heard = text
        .lines()
        .filter(|line| !line.contains(" --> ") && line.trim().parse::<u32>().is_err())
        .flat_map(words)
        .collect();
    let picture = std::fs::read(picture).unwrap();
    let frames = picture
        .chunks_exact(width * height)
        .map(<[u8]>::to_vec)
        .collect();
    (heard, frames)
}

/// Whether white letters stand in the lower half.
fn has_letters(frame: &[u8]) -> bool {
    frame[frame.len() / 2..]
        .iter()
        .filter(|light| **light > 215)
        .count()
        > 40
}

#[test]
fn a_film_gets_captions_in_the_picture_and_in_a_track() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (
        folder.path().join("film.mkv"),
        folder.path().join("captioned.mkv"),
    );
    let sound = format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! opusenc ! queue ! mux.",
        opening().display()
    );
    film(&input, &sound);
    let ended = caption(&input, &output).ok();
    assert!(ended.text().contains("bonjour"), "{ended:?}");
    let (heard, frames) = demux(&output, 320, 180);
    assert_heard(&heard, &spoken_opening());
    assert!((50..=56).contains(&frames.len()), "{} frames", frames.len());
    // Nobody speaks in the first 0.4 s; then a caption stands from 0.4 to 3.3 s.
    assert!(
        !has_letters(&frames[1]),
        "there are letters before the first word"
    );
    assert!(has_letters(&frames[20]), "there are no letters at 2 s");
}

#[test]
fn a_recording_gets_a_picture_of_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("captioned.mkv");
    caption(&opening(), &output).ok();
    let (heard, frames) = demux(&output, 1280, 720);
    assert_heard(&heard, &spoken_opening());
    assert!(
        frames.len().abs_diff(54) <= 10,
        "{} frames of 0.1 s",
        frames.len()
    );
    assert!(has_letters(&frames[20]), "there are no letters at 2 s");
}

#[test]
fn what_cannot_be_captioned_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("captioned.mkv");
    let silent = folder.path().join("silent.mkv");
    film(&silent, "");
    let ended = caption(&silent, &output);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("there is no sound in it"),
        "{ended:?}"
    );
    let ended = caption(&folder.path().join("nowhere.mkv"), &output);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with("captions: "), "{ended:?}");
}
