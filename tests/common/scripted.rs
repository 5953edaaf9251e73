//! A network that says what a test wants: it answers a pass's asks with made-up logits and attention.

use std::collections::VecDeque;
use std::sync::Arc;

use gstwhisperstream::policy::{self, Ask, Outcome, Pass, Policy, PolicySettings};
use gstwhisperstream::whisper::{
    AlignmentHead, AlignmentRows, MelFilters, Step, Tokenizer, WhisperConfig,
};

pub const VOCAB: usize = 51_865;

/// What the network prefers in one step: tokens by falling preference, and where it attends.
#[derive(Clone, Debug)]
pub struct Say {
    pub prefer: Vec<u32>,
    pub frame: usize,
}

/// One pass's worth of answers. Steps beyond the plan say `<|endoftext|>`.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub says: VecDeque<Say>,
    /// Probability of `<|nospeech|>` in the probed row, 0 to 1.
    pub no_speech: f32,
    /// Preference among the languages for an ask on its own, by code.
    pub language: Option<(&'static str, f32)>,
    /// Weights of the frames that come with each step.
    pub word_weights: Option<Vec<f32>>,
    /// Attention that is the same in every row.
    pub flat: bool,
}

pub struct Stream {
    pub policy: Box<dyn Policy>,
    pub tokenizer: Arc<Tokenizer>,
    /// Token lists of every ask so far.
    pub asked: Vec<Vec<u32>>,
    /// Frames of every window that was to be encoded anew.
    #[allow(dead_code)]
    pub windows: Vec<usize>,
}

pub fn config() -> WhisperConfig {
    WhisperConfig {
        mel_bins: 80,
        d_model: 192,
        encoder_layers: 4,
        encoder_heads: 3,
        decoder_layers: 2,
        decoder_heads: 3,
        vocab_size: VOCAB,
        text_positions: 448,
        trained_positions: 448,
        alignment_heads: vec![AlignmentHead { layer: 1, head: 0 }],
        suppress_tokens: vec![1, 2, 7, 50_257],
        multilingual: true,
    }
}

impl Stream {
    pub fn new(settings: PolicySettings) -> Stream {
        let tokenizer = Arc::new(Tokenizer::demo().unwrap());
        let filters = Arc::new(MelFilters::new(80));
        let policy = policy::open(settings, &config(), Arc::clone(&tokenizer), filters).unwrap();
        Stream {
            policy,
            tokenizer,
            asked: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// The one token that `text` is.
    pub fn token(&self, text: &str) -> u32 {
        let tokens = self.tokenizer.encode(text);
        assert_eq!(tokens.len(), 1, "{text:?} is {tokens:?}");
        tokens[0]
    }

    /// A plan from texts (each one token, `""` for `<|endoftext|>`) and frames.
    pub fn plan(&self, says: &[(&str, usize)]) -> Script {
        let says = says.iter().map(|&(text, frame)| Say {
            prefer: vec![if text.is_empty() {
                self.tokenizer.specials().eot
            } else {
                self.token(text)
            }],
            frame,
        });
        Script {
            says: says.collect(),
            ..Script::default()
        }
    }

    /// Feeds a chunk and runs its pass by `script`; `None` for the pass when the policy wanted none.
    pub fn chunk(&mut self, audio: &[f32], is_last: bool, script: Script) -> (bool, Outcome) {
        self.chunk_of(audio, is_last, |_| script)
    }

    /// As [`chunk`](Self::chunk), with a script for the window that the pass is over.
    pub fn chunk_of(
        &mut self,
        audio: &[f32],
        is_last: bool,
        script: impl FnOnce(&Pass) -> Script,
    ) -> (bool, Outcome) {
        self.policy.insert(audio);
        match self.policy.begin(is_last) {
            Err(outcome) => (false, outcome),
            Ok(mut pass) => {
                let mut script = script(&pass);
                self.run(&mut pass, &mut script);
                (true, self.policy.commit(pass))
            }
        }
    }

    fn run(&mut self, pass: &mut Pass, script: &mut Script) {
        let specials = self.tokenizer.specials().clone();
        let mut ask = pass.first();
        loop {
            ask = match ask {
                Ask::Done => return,
                Ask::Encode => {
                    self.windows.push(pass.window().frames);
                    pass.first()
                }
                Ask::Again => pass.first(),
                Ask::Beam { .. } => unreachable!("the script is for one hypothesis"),
                Ask::Alone { tokens } => {
                    let mut logits = vec![-20.0; VOCAB];
                    let (code, probability) = script.language.unwrap_or(("fr", 0.99));
                    for &(other, token) in &specials.languages {
                        let rest = (1.0 - probability) / (specials.languages.len() - 1) as f32;
                        logits[token as usize] = if other == code {
                            probability.ln()
                        } else {
                            rest.ln()
                        };
                    }
                    let step = Step {
                        logits,
                        probe_logits: None,
                        alignment: rows(tokens.len(), 0, true),
                        word_weights: None,
                    };
                    self.asked.push(tokens);
                    pass.answer(step)
                }
                Ask::Step { tokens, probe_row } => {
                    let say = script.says.pop_front().unwrap_or(Say {
                        prefer: vec![specials.eot],
                        frame: 0,
                    });
                    let mut logits = vec![-10.0; VOCAB];
                    for (rank, &token) in say.prefer.iter().enumerate() {
                        logits[token as usize] = 10.0 - rank as f32;
                    }
                    let probe_logits = probe_row.map(|_| {
                        let mut row = vec![-40.0; VOCAB];
                        row[specials.no_speech as usize] = script.no_speech.max(1e-6).ln();
                        row[0] = (1.0 - script.no_speech).max(1e-6).ln();
                        row
                    });
                    let step = Step {
                        logits,
                        probe_logits,
                        alignment: rows(tokens.len(), say.frame, script.flat),
                        word_weights: script.word_weights.clone(),
                    };
                    self.asked.push(tokens);
                    pass.answer(step)
                }
            };
        }
    }
}

/// `count` rows of one head; only the last one looks at `frame`, broadly enough for the median filter.
fn rows(count: usize, frame: usize, flat: bool) -> AlignmentRows {
    let mut data = vec![1.0 / 1500.0; count * 1500];
    if !flat {
        let last = &mut data[(count - 1) * 1500..];
        last.fill(1e-5);
        for (at, x) in last.iter_mut().enumerate() {
            let distance = at.abs_diff(frame);
            if distance < 8 {
                *x = (8 - distance) as f32 / 64.0;
            }
        }
    }
    AlignmentRows {
        heads: 1,
        rows: count,
        frames: 1500,
        data,
    }
}

/// Sound that rises and falls as speech does.
pub fn speech(samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|i| {
            let loud = (i / 1600) % 3 != 2;
            (i as f32 * 0.3).sin() * if loud { 0.2 } else { 0.001 }
        })
        .collect()
}

#[allow(dead_code)]
pub fn silence(samples: usize) -> Vec<f32> {
    vec![0.0; samples]
}
