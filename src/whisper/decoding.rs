//! Decoders of running passes, stepped alone or together.

use std::sync::Arc;

use super::decoder::Rows;
use super::encoding::{Cross, Encoded};
use super::graph;
use super::kernels::KeyValues;
use super::model::Network;
use super::{AlignmentHead, WINDOW_FRAMES, Whisper, WhisperConfig, WhisperError, WordEnds};

/// State of one running pass: cross keys and values of its window, and the self-attention cache of each lane: of the one
/// text that is decoded, or of each hypothesis of a beam.
pub struct Decoder {
    caches: Caches,
    heads: Vec<AlignmentHead>,
    /// The heads of each layer, and where in the answer their rows go.
    wanted: Vec<Vec<usize>>,
    places: Vec<Vec<usize>>,
    position: usize,
    /// For its first step.
    word_weights: Option<Vec<f32>>,
}

/// What a stream wants to know of a window besides its text.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Cross-attention heads whose rows a [`Step`] reports, in this order.
    pub heads: Vec<AlignmentHead>,
    /// Reports where words end.
    pub word_ends: Option<Arc<WordEnds>>,
}

/// Keys and values, layer by layer: of the window, and of the tokens fed so far.
enum Caches {
    Kernels {
        cross: Arc<Vec<KeyValues>>,
        own: Lanes<KeyValues>,
    },
    Graph {
        cross: Arc<Vec<graph::KeyValues>>,
        own: Lanes<graph::Own>,
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
                own: Lanes::new(kernels.decoder.own()),
            },
            (Network::Graph(graph), Cross::Graph(cross)) => Caches::Graph {
                cross: Arc::clone(cross),
                own: Lanes::new(graph.own()),
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
            word_weights: None,
        })
    }

    /// Reports the weights of `encoded` with the first step.
    pub(super) fn report(
        &mut self,
        ends: &WordEnds,
        encoded: &Encoded,
    ) -> Result<(), WhisperError> {
        self.word_weights = Some(ends.of(encoded)?);
        Ok(())
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
        whisper.step_one(Turn {
            decoder: self,
            tokens,
            parents: &[],
            probe_row,
        })
    }

    /// Tokens fed so far, on each lane.
    pub fn position(&self) -> usize {
        self.position
    }

    fn lanes(&self) -> usize {
        match &self.caches {
            Caches::Kernels { own, .. } => own.0.len(),
            Caches::Graph { own, .. } => own.0.len(),
        }
    }

    /// Lane `i` goes on where lane `parents[i]` is.
    fn fork(&mut self, parents: &[usize]) {
        match &mut self.caches {
            Caches::Kernels { own, .. } => own.fork(parents, KeyValues::follow),
            Caches::Graph { own, .. } => own.fork(parents, |to, from| *to = from.clone()),
        }
    }

    fn check(
        &self,
        config: &WhisperConfig,
        turn: (&[u32], &[usize], Option<usize>),
    ) -> Result<(), WhisperError> {
        let (tokens, parents, probe_row) = turn;
        let bad = |what: String, reason: String| Err(WhisperError::BadInput { what, reason });
        if tokens.is_empty() {
            return bad("no tokens".into(), "a step needs at least one".into());
        }
        let lanes = self.lanes();
        if parents.is_empty() && lanes != 1 {
            let what = "tokens without lanes".into();
            return bad(what, format!("the decoder has {lanes} lanes"));
        }
        if !parents.is_empty() && (parents.len() != tokens.len() || probe_row.is_some()) {
            let what = format!("{} tokens for {} lanes", tokens.len(), parents.len());
            return bad(what, "each lane takes one, and no probe".into());
        }
        if let Some(lane) = parents.iter().find(|&&lane| lane >= lanes) {
            return bad(format!("the lane {lane}"), format!("it has {lanes}"));
        }
        let rows = rows_of_lane(tokens, parents);
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

/// The self-attention caches of each lane, layer by layer.
struct Lanes<O>(Vec<Vec<O>>);

impl<O: Clone> Lanes<O> {
    fn new(own: Vec<O>) -> Lanes<O> {
        Lanes(vec![own])
    }

    /// See [`Decoder::fork`]. A lane with one child is handed on; one without lends its memory to those that are copied.
    fn fork(&mut self, parents: &[usize], follow: impl Fn(&mut O, &O)) {
        let mut before: Vec<Option<Vec<O>>> = self.0.drain(..).map(Some).collect();
        let mut spare: Vec<Vec<O>> = Vec::new();
        for (lane, own) in before.iter_mut().enumerate() {
            if !parents.contains(&lane) {
                spare.extend(own.take());
            }
        }
        for (at, &parent) in parents.iter().enumerate() {
            let Some(slot) = before.get_mut(parent) else {
                continue;
            };
            let again = parents.get(at + 1..).unwrap_or_default();
            if !again.contains(&parent) {
                self.0.extend(slot.take());
            } else if let Some(own) = slot {
                self.0.push(match spare.pop() {
                    Some(mut copy) => {
                        for (to, from) in copy.iter_mut().zip(own) {
                            follow(to, from);
                        }
                        copy
                    }
                    None => own.clone(),
                });
            }
        }
    }
}

/// One decoder's part in a step of several.
pub struct Turn<'a> {
    pub decoder: &'a mut Decoder,
    /// As in [`Decoder::step`].
    pub tokens: &'a [u32],
    /// The lanes of a beam: token `i` is fed on lane `i`, which goes on where lane `parents[i]` was. There are as many lanes
    /// as tokens from then on. Empty: all tokens go on the one lane there is.
    pub parents: &'a [usize],
    pub probe_row: Option<usize>,
}

/// What one step returns.
pub struct Step {
    /// Logits of the last row, `[vocab]`; of a beam those of each lane, `[lanes, vocab]`.
    pub logits: Vec<f32>,
    /// Logits of the row asked for by `probe_row`.
    pub probe_logits: Option<Vec<f32>>,
    /// softmax(QKᵀ/√d) of the alignment heads for every row of this step; of a beam, a row a lane.
    pub alignment: AlignmentRows,
    /// The weight of each frame by [`Watched::word_ends`], in a decoder's first step.
    pub word_weights: Option<Vec<f32>>,
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

    /// Takes over the weights `[places, rows, seen]` of some heads, of so many rows from `first` on.
    fn place(&mut self, places: &[usize], (first, rows): (usize, usize), weights: &[f32]) {
        let count = places.len() * rows;
        if count == 0 {
            return;
        }
        let seen = weights.len() / count;
        let rows = places
            .iter()
            .flat_map(|place| (first..first + rows).map(move |row| (place, row)));
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
        let part = (turn.tokens, turn.parents, turn.probe_row);
        let checked = turn.decoder.check(whisper.config(), part);
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
    let mut parts = Vec::new();
    let (mut on_kernels, mut on_graph) = (Vec::new(), Vec::new());
    for (at, turn) in turns.iter_mut().enumerate() {
        let (tokens, parents) = (turn.tokens, turn.parents);
        let decoder = &mut *turn.decoder;
        if !parents.is_empty() {
            decoder.fork(parents);
        }
        let rows = rows_of_lane(tokens, parents);
        for first in (0..tokens.len()).step_by(rows.max(1)) {
            let places = &decoder.places;
            parts.push((at, first, rows, places));
        }
        let part = Part {
            rows,
            tokens,
            position: decoder.position,
            wanted: &decoder.wanted,
            probe_row: turn.probe_row,
        };
        match &mut decoder.caches {
            Caches::Kernels { cross, own } => on_kernels.extend(part.lanes(cross, own)),
            Caches::Graph { cross, own } => on_graph.extend(part.lanes(cross, own)),
        }
    }
    let sink = |part: usize, layer: usize, weights: &[f32]| {
        let Some(&(turn, first, rows, places)) = parts.get(part) else {
            return;
        };
        if let (Some(places), Some(alignment)) = (places.get(layer), alignments.get_mut(turn)) {
            alignment.place(places, (first, rows), weights);
        }
    };
    let logits = match &whisper.network {
        Network::Kernels(kernels) if on_graph.is_empty() => {
            kernels.decoder.forward(&mut on_kernels, sink)?
        }
        Network::Graph(graph) if on_kernels.is_empty() => graph.step(&mut on_graph, sink)?,
        _ => return Err(elsewhere()),
    };
    let owners: Vec<usize> = parts.iter().map(|&(turn, ..)| turn).collect();
    let mut steps: Vec<Step> = Vec::new();
    for (turn, alignment) in turns.iter_mut().zip(alignments) {
        steps.push(Step {
            logits: Vec::new(),
            probe_logits: None,
            alignment,
            word_weights: turn.decoder.word_weights.take(),
        });
    }
    for (turn, logits) in owners.into_iter().zip(logits) {
        if let Some(step) = steps.get_mut(turn) {
            match step.logits.is_empty() {
                true => step.logits = logits.last,
                false => step.logits.extend(logits.last),
            }
            step.probe_logits = step.probe_logits.take().or(logits.probe);
        }
    }
    for turn in turns.iter_mut() {
        turn.decoder.position += rows_of_lane(turn.tokens, turn.parents);
    }
    Ok(steps)
}

/// All tokens go on the one lane there is, or one on each (see [`Turn`]).
fn rows_of_lane(tokens: &[u32], parents: &[usize]) -> usize {
    match parents.is_empty() {
        true => tokens.len(),
        false => 1,
    }
}

/// What a decoder brings to a step, on whichever network it runs: its one lane all tokens, or each of its lanes a token.
struct Part<'a> {
    /// Of each lane.
    rows: usize,
    tokens: &'a [u32],
    position: usize,
    wanted: &'a [Vec<usize>],
    probe_row: Option<usize>,
}

impl<'a> Part<'a> {
    fn lanes<C, O>(
        self,
        cross: &'a [C],
        own: &'a mut Lanes<O>,
    ) -> impl Iterator<Item = Rows<'a, C, O>> {
        let lanes = own.0.iter_mut().zip(self.tokens.chunks(self.rows.max(1)));
        lanes.map(move |(own, tokens)| Rows {
            tokens,
            position: self.position,
            cross,
            own,
            wanted: self.wanted,
            probe_row: self.probe_row,
        })
    }
}

fn elsewhere() -> WhisperError {
    WhisperError::BadInput {
        what: "a decoder of another model".to_owned(),
        reason: "this model runs on another device".to_owned(),
    }
}
