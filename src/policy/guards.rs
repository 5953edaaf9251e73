//! Brakes against text that nobody said. What a guard cuts is counted (see [`super::Guards`]).

/// Most text tokens a second of audio can hold: the fastest speakers stay below 8 words, some 12 tokens, a second.
pub const TOKENS_A_SECOND: usize = 14;

/// Tokens that are always allowed in a pass, however little audio is new.
pub const TOKENS_FREE: usize = 4;

/// Above this p(no speech) at the true `<|startoftranscript|>` row a pass is not believed (openai/whisper's threshold).
pub const NO_SPEECH: f32 = 0.6;

/// Mean log-probability of a pass's tokens below which an utterance is not begun (openai/whisper's threshold for a failed
/// decoding): what the network makes of music and rooms is mostly guessed.
pub const UNLIKELY: f32 = -1.0;

/// Longest phrase (in tokens) that the repetition brake looks for.
const LONGEST_PHRASE: usize = 12;

/// How often a phrase must stand in a row to be a loop. Short ones are said often ("non non non", "zero zero zero").
fn repeats_allowed(phrase: usize) -> usize {
    match phrase {
        1 => 6,
        2 => 4,
        _ => 3,
    }
}

/// Whether a pass over `new_frames` of audio not yet told has said more than anyone can.
pub fn too_fast(tokens: usize, new_frames: usize) -> bool {
    tokens > TOKENS_FREE + new_frames * TOKENS_A_SECOND / 50
}

/// If `tokens` end in a loop, the length that is left once all but its first turn is cut.
pub fn loop_start(tokens: &[u32]) -> Option<usize> {
    for phrase in 1..=LONGEST_PHRASE.min(tokens.len()) {
        let turns = repeats_allowed(phrase) + 1;
        let Some(from) = tokens.len().checked_sub(phrase * turns) else {
            break;
        };
        let tail = tokens.get(from..).unwrap_or_default();
        let first = tail.get(..phrase).unwrap_or_default();
        if tail.chunks_exact(phrase).all(|turn| turn == first) {
            return Some(from + phrase);
        }
    }
    None
}

/// Whether a pass that came to these log-probabilities was guessing.
pub fn is_unlikely(logprobs: impl Iterator<Item = f32>) -> bool {
    let (sum, tokens) = logprobs.fold((0.0, 0), |(sum, n), logprob| (sum + logprob, n + 1));
    tokens > 0 && sum / (tokens as f32) < UNLIKELY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_unlikely_on_the_whole() {
        assert!(!is_unlikely([].into_iter()));
        assert!(!is_unlikely([-0.1, -2.0, -0.3].into_iter()));
        assert!(is_unlikely([-0.1, -2.0, -1.3].into_iter()));
    }

    #[test]
    fn a_loop_is_cut_to_its_first_turn() {
        assert_eq!(
            loop_start(&[9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]),
            Some(4)
        );
        assert_eq!(loop_start(&[5; 7]), Some(1));
    }

    #[test]
    fn what_people_repeat_is_no_loop() {
        assert_eq!(loop_start(&[7, 7, 7, 7]), None);
        assert_eq!(loop_start(&[1, 2, 1, 2, 1, 2]), None);
        assert_eq!(loop_start(&[]), None);
    }

    #[test]
    fn the_rate_cap_grows_with_the_audio() {
        assert!(!too_fast(TOKENS_FREE, 0));
        assert!(too_fast(TOKENS_FREE + 1, 0));
        assert!(!too_fast(TOKENS_FREE + TOKENS_A_SECOND, 50));
    }
}
