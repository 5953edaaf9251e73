//! Decoders of running passes, stepped alone or together.

use std::sync::Arc;

use super::decoder::Rows;
use super::encoding::{Cross, Encoded};
use super::graph;
use super::kernels::KeyValues;
use super::model::Network;
use super::{AlignmentHead, WINDOW_FRAMES, Whisper, WhisperConfig, WhisperError};

/// State of one running pass: cross keys and values of its window, and the self-attention cache.
pub struct Decoder {
    caches: Caches,
    heads: Vec<AlignmentHead>,
    /// The heads of each layer, and where in the answer their rows go.
    wanted: Vec<Vec<usize>>,
    places: Vec<Vec<usize>>,
    position: usize,
}

/// Keys and values, layer by layer: of the window, and of the tokens fed so far.
enum Caches {
    Kernels {
        cross: Arc<Vec<KeyValues>>,
        own: Vec<KeyValues>,
    },
    Graph {
        cross: Arc<Vec<graph::KeyValues>>,
        own: Vec<graph::Own>,
    },
}

impl Decoder {
    pub(super) fn start(
        whisper: &Whisper,
        encoded: &Encoded,
        heads: &[AlignmentHead],
    ) -> Result<Decoder, WhisperError> {
        let config = whisper.config();
        let mut wanted = vec![Vec::new(); config.decoder_layers];
        let mut places = wanted.clone();
        for (place, head) in heads.iter().enumerate() {
            match (wanted.get_mut(head.layer), places.get_mut(head.layer)) {
                (Some(wanted), Some(places)) if head.head < config.decoder_heads => {
                    wanted.push(head.head);
                    places.push(place);
                }
                _ => {
                    return Err(WhisperError::BadInput {
                        what: format!("the alignment head {}:{}", head.layer, head.head),
                        reason: "this model has no such head".to_owned(),
                    });
                }
            }
        }
        let caches = match (&whisper.network, &encoded.cross) {
            (Network::Kernels(kernels), Cross::Kernels(cross)) => Caches::Kernels {
                cross: Arc::clone(cross),
                own: kernels.decoder.own(),
            },
            (Network::Graph(graph), Cross::Graph(cross)) => Caches::Graph {
                cross: Arc::clone(cross),
                own: graph.own(),
            },
            _ => {
                return Err(WhisperError::BadInput {
                    what: "a window that another model encoded".to_owned(),
                    reason: "this model runs on another device".to_owned(),
                });
            }
        };
        Ok(Decoder {
            caches,
            heads: heads.to_vec(),
            wanted,
            places,
            position: 0,
        })
    }

    /// Feeds `tokens` (the whole prompt first, then usually one) behind those already fed.
    /// `probe_row`: also return the logits of this row of `tokens` (the no-speech probability is read there).
    ///
    /// # Errors
    /// No tokens, tokens beyond the vocabulary or more than the text positions hold.
    pub fn step(
        &mut self,
        whisper: &Whisper,
        tokens: &[u32],
        probe_row: Option<usize>,
    ) -> Result<Step, WhisperError> {
        let turn = Turn {
            decoder: self,
            tokens,
            probe_row,
        };
        let mut steps = whisper.step(&mut [turn]);
        steps
            .pop()
            .unwrap_or_else(|| Err(candle_core::Error::Msg("a step gave no answer".into()).into()))
    }

    /// Tokens fed so far.
    pub fn position(&self) -> usize {
        self.position
    }

    fn check(
        &self,
        config: &WhisperConfig,
        tokens: &[u32],
        probe_row: Option<usize>,
    ) -> Result<(), WhisperError> {
        let bad = |what: String, reason: String| Err(WhisperError::BadInput { what, reason });
        let rows = tokens.len();
        if rows == 0 {
            return bad("no tokens".into(), "a step needs at least one".into());
        }
        if self.position + rows > config.text_positions {
            let what = format!("{rows} tokens behind {}", self.position);
            return bad(what, format!("it has {} positions", config.text_positions));
        }
        if let Some(token) = tokens.iter().find(|&&t| t as usize >= config.vocab_size) {
            let what = format!("the token {token}");
            return bad(what, format!("its vocabulary has {}", config.vocab_size));
        }
        match probe_row {
            Some(row) if row >= rows => bad(
                format!("the probe row {row}"),
                format!("the step has {rows} rows"),
            ),
            _ => Ok(()),
        }
    }
}

/// One decoder's part in a step of several.
pub struct Turn<'a> {
    pub decoder: &'a mut Decoder,
    /// As in [`Decoder::step`].
    pub tokens: &'a [u32],
    pub probe_row: Option<usize>,
}

/// What one step returns.
pub struct Step {
    /// Logits of the last row, `[vocab]`.
    pub logits: Vec<f32>,
    /// Logits of the row asked for by `probe_row`.
    pub probe_logits: Option<Vec<f32>>,
    /// softmax(QKᵀ/√d) of the alignment heads for every row of this step.
    pub alignment: AlignmentRows,
}

/// Attention rows `[heads, rows, frames]`, row-major; frames is always 1500 (zeros where nothing was encoded).
pub struct AlignmentRows {
    pub heads: usize,
    pub rows: usize,
    pub frames: usize,
    pub data: Vec<f32>,
}

impl AlignmentRows {
    fn new(heads: usize, rows: usize) -> AlignmentRows {
        AlignmentRows {
            heads,
            rows,
            frames: WINDOW_FRAMES,
            data: vec![0f32; heads * rows * WINDOW_FRAMES],
        }
    }

    /// Row `row` of head `head`, `frames` long; empty when out of range.
    pub fn row(&self, head: usize, row: usize) -> &[f32] {
        let start = (head * self.rows + row) * self.frames;
        self.data.get(start..start + self.frames).unwrap_or(&[])
    }

    /// Takes over the weights `[places, rows, seen]` of some heads.
    fn place(&mut self, places: &[usize], weights: &[f32]) {
        let count = places.len() * self.rows;
        if count == 0 {
            return;
        }
        let seen = weights.len() / count;
        let rows = places
            .iter()
            .flat_map(|place| (0..self.rows).map(move |row| (place, row)));
        for ((place, row), from) in rows.zip(weights.chunks_exact(seen.max(1))) {
            let start = (place * self.rows + row) * self.frames;
            if let Some(to) = self.data.get_mut(start..start + seen) {
                to.copy_from_slice(from);
            }
        }
    }
}

/// See [`Whisper::step`].
pub(super) fn step(whisper: &Whisper, turns: &mut [Turn<'_>]) -> Vec<Result<Step, WhisperError>> {
    let mut answers: Vec<Option<Result<Step, WhisperError>>> = Vec::new();
    let mut batch = Vec::new();
    for turn in turns {
        let checked = turn
            .decoder
            .check(whisper.config(), turn.tokens, turn.probe_row);
        match checked {
            Ok(()) => {
                answers.push(None);
                batch.push(turn);
            }
            Err(error) => answers.push(Some(Err(error))),
        }
    }
    let mut ran = match together(whisper, &mut batch) {
        Ok(steps) => steps.into_iter().map(Ok).collect::<Vec<_>>().into_iter(),
        Err(error) => {
            // What fails here fails for all: memory, a device.
            let text = error.to_string();
            let failed = batch
                .iter()
                .map(|_| Err(candle_core::Error::Msg(text.clone()).into()));
            failed.collect::<Vec<_>>().into_iter()
        }
    };
    let missing = || Err(candle_core::Error::Msg("a step gave no answer".into()).into());
    answers
        .into_iter()
        .map(|answer| answer.unwrap_or_else(|| ran.next().unwrap_or_else(missing)))
        .collect()
}

fn together(whisper: &Whisper, turns: &mut [&mut Turn<'_>]) -> Result<Vec<Step>, WhisperError> {
    if turns.is_empty() {
        return Ok(Vec::new());
    }
    let of = |turn: &&mut Turn<'_>| AlignmentRows::new(turn.decoder.heads.len(), turn.tokens.len());
    let mut alignments: Vec<AlignmentRows> = turns.iter().map(of).collect();
    let mut places = Vec::new();
    let (mut on_kernels, mut on_graph) = (Vec::new(), Vec::new());
    for turn in turns.iter_mut() {
        let decoder = &mut *turn.decoder;
        places.push(&decoder.places);
        let part = Part {
            tokens: turn.tokens,
            position: decoder.position,
            wanted: &decoder.wanted,
            probe_row: turn.probe_row,
        };
        match &mut decoder.caches {
            Caches::Kernels { cross, own } => on_kernels.push(part.rows(cross, own)),
            Caches::Graph { cross, own } => on_graph.push(part.rows(cross, own)),
        }
    }
    let sink = |turn: usize, layer: usize, weights: &[f32]| {
        let places = places.get(turn).and_then(|places| places.get(layer));
        if let (Some(places), Some(alignment)) = (places, alignments.get_mut(turn)) {
            alignment.place(places, weights);
        }
    };
    let logits = match &whisper.network {
        Network::Kernels(kernels) if on_graph.is_empty() => {
            kernels.decoder.forward(&mut on_kernels, sink)?
        }
        Network::Graph(graph) if on_kernels.is_empty() => graph.step(&mut on_graph, sink)?,
        _ => return Err(elsewhere()),
    };
    let mut steps = Vec::new();
    for ((turn, alignment), logits) in turns.iter_mut().zip(alignments).zip(logits) {
        turn.decoder.position += turn.tokens.len();
        steps.push(Step {
            logits: logits.last,
            probe_logits: logits.probe,
            alignment,
        });
    }
    Ok(steps)
}

/// What a decoder brings to a step, on whichever network it runs.
struct Part<'a> {
    tokens: &'a [u32],
    position: usize,
    wanted: &'a [Vec<usize>],
    probe_row: Option<usize>,
}

impl<'a> Part<'a> {
    fn rows<C, O>(self, cross: &'a [C], own: &'a mut [O]) -> Rows<'a, C, O> {
        Rows {
            tokens: self.tokens,
            position: self.position,
            cross,
            own,
            wanted: self.wanted,
            probe_row: self.probe_row,
        }
    }
}

fn elsewhere() -> WhisperError {
    WhisperError::BadInput {
        what: "a decoder of another model".to_owned(),
        reason: "this model runs on another device".to_owned(),
    }
}
