//! Whether the audio ends where a word does, by the weights that a CIF model gives to the frames (see
//! [`crate::whisper::WordEnds`]). As in Simul-Whisper, whose models these are.

/// A word is over when the weights have summed up to this.
const WHOLE: f32 = 0.999;
/// Rounds in which weights above a whole word are spread.
const ROUNDS: usize = 10;
/// Frames at the end of the audio in which the last word must end.
const LAST_FRAMES: usize = 2;

/// Whether the last word of the frames that hold audio ends with them. Where there are too few frames to tell, it does.
pub fn ends_with_word(weights: &[f32]) -> bool {
    let frames = weights.len();
    if frames < 2 {
        return true;
    }
    let sum: f32 = weights.iter().sum();
    // As many words as there are, each a whole one.
    let words = sum.round_ties_even();
    let mut weights: Vec<f32> = weights.iter().map(|w| w * (words / sum)).collect();
    spread(&mut weights);
    let mut so_far = Vec::with_capacity(frames);
    let mut sum = 0.0f32;
    // A peak in the newest frame is the audio's end, not a word's.
    for &weight in weights.iter().take(frames - 1) {
        sum += weight;
        so_far.push(sum);
    }
    let whole = (sum / WHOLE).floor();
    let open = so_far.iter().position(|&sum| sum - whole >= 0.0);
    open.is_some_and(|frame| frame + LAST_FRAMES >= frames)
}

/// No frame holds more than a word: what is above that goes to all frames that have some.
fn spread(weights: &mut [f32]) {
    for _ in 0..ROUNDS {
        let above: Vec<usize> = (0..weights.len())
            .filter(|&frame| weights.get(frame).is_some_and(|&w| w > WHOLE))
            .collect();
        if above.is_empty() {
            return;
        }
        for frame in above {
            if weights.get(frame).is_none_or(|&w| w < WHOLE) {
                continue;
            }
            let some = weights.iter().filter(|&&w| w != 0.0).count();
            let mean = 0.5 * weights.iter().sum::<f32>() / some as f32;
            for weight in weights.iter_mut().filter(|w| **w != 0.0) {
                *weight = *weight * 0.5 + mean;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of SimulStreaming 077ea37 (PyTorch, f32) on random weights; none that rounding decides.
    const RECORDED: &str = include_str!("../../tests/golden/word_ends.jsonl");

    #[derive(serde::Deserialize)]
    struct Recorded {
        ends: bool,
        weights: Vec<f32>,
    }

    #[test]
    fn decides_as_the_reference_did() {
        let mut counts = [0, 0];
        for (at, line) in RECORDED.lines().enumerate() {
            let Recorded { ends, weights } = serde_json::from_str(line).unwrap();
            assert_eq!(ends_with_word(&weights), ends, "line {at}");
            counts[usize::from(ends)] += 1;
        }
        assert_eq!(counts, [30, 30]);
    }

    #[test]
    fn weights_that_say_nothing_decide_nothing_by_nan() {
        assert!(ends_with_word(&[]));
        assert!(ends_with_word(&[0.5]));
        for weights in [[0.0; 50], [f32::MIN_POSITIVE; 50], [1.0; 50]] {
            ends_with_word(&weights);
        }
    }
}
