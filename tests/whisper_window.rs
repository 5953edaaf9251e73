//! Windows of which only the first frames are computed.

use gstwhisperstream::whisper::{
    Backend, Cancel, LogMel, ModelSource, WINDOW_FRAMES, Whisper, Window,
};

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        let pairs = x.iter().zip(y);
        pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn a_part_of_the_window_is_computed_and_the_rest_is_never_attended() {
    let cancel = Cancel::default();
    let whisper =
        Whisper::load(&ModelSource::Demo, Backend::default(), &cancel, &mut |_| {}).unwrap();
    let mut mel = LogMel::new(whisper.mel_filters().clone());
    mel.push(&audio::floats("fr-court.wav"));
    let content = mel.content_frames();
    let mel = mel.window();
    let d = whisper.config().d_model;
    let whole = whisper.encode(Window::whole(&mel), &cancel).unwrap();
    assert_eq!(whole.frames(), WINDOW_FRAMES);
    let whole = whole.to_vec().unwrap();

    for frames in [content.next_multiple_of(16) + 128, 777, 1499, 1500] {
        let window = Window { mel: &mel, frames };
        let encoded = whisper.encode(window, &cancel).unwrap();
        assert_eq!(encoded.frames(), frames);
        let states = encoded.to_vec().unwrap();
        assert_eq!(states.len(), frames * d);
        let alike = cosine(&states[..content * d], &whole[..content * d]);
        println!("{frames} frames: cosine {alike}");
        assert!(alike > 0.99, "{frames} frames: {alike}");
        assert_eq!(states == whole[..frames * d], frames == WINDOW_FRAMES);

        let mut decoder = whisper
            .decoder(&encoded, &whisper.config().alignment_heads)
            .unwrap();
        let sot = whisper.tokenizer().specials().sot;
        let step = decoder.step(&whisper, &[sot, 1, 2], None).unwrap();
        for head in 0..step.alignment.heads {
            for row in 0..step.alignment.rows {
                let row = step.alignment.row(head, row);
                assert_eq!(row.len(), WINDOW_FRAMES);
                let (seen, rest) = row.split_at(frames);
                let sum: f32 = seen.iter().sum();
                assert!((sum - 1.0).abs() < 1e-4, "{sum}");
                assert!(rest.iter().all(|&x| x == 0.0));
            }
        }
    }
}
