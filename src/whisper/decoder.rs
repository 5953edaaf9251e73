//! The text decoder's weights: embeddings, self-attention, cross-attention, vocabulary.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Embedding, Module};

use super::WhisperError;
use super::config::ModelConfig;
use super::kernels::{self, Finish, Format, KeyValues, Packed, Query, Rows as Matrix, attend};
use super::ops::{Mlp, Norm, Projection, joined, linear, values};
use super::weights::Weights;

pub struct TextDecoder {
    /// `[vocab, d]`
    embedding: Embedding,
    /// The embedding as projection to the vocabulary, where that is not computed in f32.
    vocabulary: Option<Packed>,
    /// `[text positions, d]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
    format: Format,
    d: usize,
}

struct Layer {
    norm: Norm,
    qkv: Packed,
    o: Packed,
    cross_norm: Norm,
    cross_q: Packed,
    cross_kv: Packed,
    cross_o: Packed,
    mlp: Mlp,
    heads: usize,
}

/// One decoder's rows of a step.
pub struct Rows<'a, C = KeyValues, O = KeyValues> {
    pub tokens: &'a [u32],
    /// Of the first of them.
    pub position: usize,
    /// Keys and values of the window, layer by layer.
    pub cross: &'a [C],
    /// Keys and values of the tokens fed so far, layer by layer.
    pub own: &'a mut [O],
    /// The cross-attention heads of each layer whose weights are wanted.
    pub wanted: &'a [Vec<usize>],
    pub probe_row: Option<usize>,
}

impl<C, O> Rows<'_, C, O> {
    pub fn wanted(&self, layer: usize) -> &[usize] {
        self.wanted.get(layer).map_or(&[], Vec::as_slice)
    }
}

/// Vocabulary logits that a decoder asked for.
pub struct Logits {
    /// Of its last row.
    pub last: Vec<f32>,
    pub probe: Option<Vec<f32>>,
}

impl TextDecoder {
    pub fn load(weights: &mut Weights, config: &ModelConfig) -> Result<TextDecoder, WhisperError> {
        let shape = &config.shape;
        let d = shape.d_model;
        let mut embedding =
            weights.tensor("decoder.embed_tokens.weight", &[shape.vocab_size, d])?;
        let format = weights.format();
        let mut vocabulary = None;
        if format != Format::Single {
            let w = embedding.flatten_all()?.to_vec1::<f32>()?;
            vocabulary = Some(Packed::new(format, &w, d, Vec::new()));
            embedding = embedding.to_dtype(DType::F16)?;
        }
        let positions = "decoder.embed_positions.weight";
        let positions = weights.tensor(positions, &[shape.text_positions, d])?;
        let layers = (0..shape.decoder_layers)
            .map(|i| Layer::load(weights, &format!("decoder.layers.{i}"), config));
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(TextDecoder {
            embedding: Embedding::new(embedding, d),
            vocabulary,
            positions,
            layers,
            norm: Norm::load(weights, "decoder.layer_norm", d)?,
            format,
            d,
        })
    }

    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// The learned text positions, `[positions, d]`.
    pub fn positions(&self) -> &Tensor {
        &self.positions
    }

    /// Cross keys and values of one layer for encoder states `[frames, d]`.
    pub fn cross(&self, layer: usize, states: &Tensor) -> Result<KeyValues, WhisperError> {
        let Some(layer) = self.layers.get(layer) else {
            return Err(candle_core::Error::Msg(format!("no decoder layer {layer}")).into());
        };
        let (frames, d) = states.dims2()?;
        let mut cross = KeyValues::new(self.format, frames, layer.heads, d / layer.heads);
        let mut kv = Vec::new();
        values(states, |states| {
            layer
                .cross_kv
                .apply(Matrix::new(states, d), Finish::Bias, &mut kv);
        })?;
        let kv = Matrix::new(&kv, 2 * d);
        cross.push(kv, kv.columns(d));
        Ok(cross)
    }

    /// An empty self-attention cache for each layer.
    pub fn own(&self) -> Vec<KeyValues> {
        let positions = self.positions.dim(0).unwrap_or_default();
        let new = |layer: &Layer| {
            KeyValues::new(self.format, positions, layer.heads, self.d / layer.heads)
        };
        self.layers.iter().map(new).collect()
    }

    /// Runs the rows of several decoders together; what it returns is in their order. Cross-attention weights of the
    /// wanted heads go to `sink(decoder, layer, weights)`, `[heads, rows, frames]`.
    pub fn forward(
        &self,
        batch: &mut [Rows<'_>],
        mut sink: impl FnMut(usize, usize, &[f32]),
    ) -> Result<Vec<Logits>, WhisperError> {
        let ids: Vec<u32> = batch.iter().flat_map(|rows| rows.tokens).copied().collect();
        let positions = batch
            .iter()
            .flat_map(|rows| (rows.position..).take(rows.tokens.len()));
        let positions: Vec<u32> = positions.map(|p| p as u32).collect();
        let ids = Tensor::new(ids, &Device::Cpu)?;
        let positions = Tensor::new(positions, &Device::Cpu)?;
        let x = self.embedding.forward(&ids)?.to_dtype(DType::F32)?;
        let x = (x + self.positions.index_select(&positions, 0)?)?;
        let mut x = x.flatten_all()?.to_vec1::<f32>()?;
        let mut scratch = Scratch::default();
        for (i, layer) in self.layers.iter().enumerate() {
            layer.forward(i, self.d, &mut x, batch, &mut scratch);
            for (decoder, weights) in scratch.weights.iter().enumerate() {
                sink(decoder, i, weights);
            }
        }
        self.logits(&x, batch)
    }

    /// Vocabulary logits of the rows asked for.
    fn logits(&self, states: &[f32], batch: &[Rows<'_>]) -> Result<Vec<Logits>, WhisperError> {
        let d = self.d;
        let mut asked = Vec::new();
        let mut first = 0;
        for rows in batch {
            let last = rows.tokens.len() - 1;
            for row in std::iter::once(last).chain(rows.probe_row) {
                let start = (first + row) * d;
                asked.extend_from_slice(states.get(start..start + d).unwrap_or_default());
            }
            first += rows.tokens.len();
        }
        let (mut x, mut logits) = (Vec::new(), Vec::new());
        self.norm.apply(&asked, &mut x);
        match &self.vocabulary {
            Some(vocabulary) => vocabulary.apply(Matrix::new(&x, d), Finish::Bias, &mut logits),
            None => logits = values(self.embedding.embeddings(), |w| kernels::linear(&x, w, d))?,
        }
        let vocabulary = self.embedding.embeddings().dim(0)?;
        let mut rows_of = logits.chunks_exact(vocabulary).map(<[f32]>::to_vec);
        let mut next = || rows_of.next().unwrap_or_default();
        let logits = batch.iter().map(|rows| Logits {
            last: next(),
            probe: rows.probe_row.map(|_| next()),
        });
        Ok(logits.collect())
    }
}

/// What a step reuses from layer to layer.
#[derive(Default)]
struct Scratch {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    added: Vec<f32>,
    hidden: Vec<f32>,
    /// Of each decoder, those of the wanted heads.
    weights: Vec<Vec<f32>>,
}

impl Layer {
    fn load(
        weights: &mut Weights,
        name: &str,
        config: &ModelConfig,
    ) -> Result<Layer, WhisperError> {
        let (d, heads) = (config.shape.d_model, config.shape.decoder_heads);
        let format = weights.format();
        let own = format!("{name}.self_attn");
        let cross = format!("{name}.encoder_attn");
        let queries = || Projection::queries("q_proj", format, d / heads);
        let keys = || Projection::new("k_proj", false);
        let values = || Projection::new("v_proj", true);
        Ok(Layer {
            norm: Norm::load(weights, &format!("{own}_layer_norm"), d)?,
            qkv: joined(weights, &own, &[queries(), keys(), values()], d)?,
            o: linear(weights, &format!("{own}.out_proj"), (d, d))?,
            cross_norm: Norm::load(weights, &format!("{cross}_layer_norm"), d)?,
            cross_q: joined(weights, &cross, &[queries()], d)?,
            cross_kv: joined(weights, &cross, &[keys(), values()], d)?,
            cross_o: linear(weights, &format!("{cross}.out_proj"), (d, d))?,
            mlp: Mlp::load(weights, name, d, config.decoder_ffn)?,
            heads,
        })
    }

    /// `x`: the rows of all decoders, `[rows, d]`.
    fn forward(
        &self,
        at: usize,
        d: usize,
        x: &mut Vec<f32>,
        batch: &mut [Rows<'_>],
        s: &mut Scratch,
    ) {
        s.weights.resize_with(batch.len(), Vec::new);
        s.attended.resize(x.len(), 0.0);

        self.norm.apply(x, &mut s.normed);
        self.qkv
            .apply(Matrix::new(&s.normed, d), Finish::Bias, &mut s.qkv);
        let qkv = Matrix::new(&s.qkv, 3 * d);
        let mut first = 0;
        for rows in batch.iter_mut() {
            let of_rows = qkv.rows(first, rows.tokens.len());
            if let Some(own) = rows.own.get_mut(at) {
                own.push(of_rows.columns(d), of_rows.columns(2 * d));
            }
            first += rows.tokens.len();
        }
        attend_own(batch, at, qkv, s.attended.as_mut_slice(), &mut s.weights);
        let attended = Matrix::new(&s.attended, d);
        self.o.apply(attended, Finish::Add(x), &mut s.added);

        self.cross_norm.apply(&s.added, &mut s.normed);
        self.cross_q
            .apply(Matrix::new(&s.normed, d), Finish::Bias, &mut s.qkv);
        let q = Matrix::new(&s.qkv, d);
        attend_windows(batch, at, q, s.attended.as_mut_slice(), &mut s.weights);
        let attended = Matrix::new(&s.attended, d);
        self.cross_o.apply(attended, Finish::Add(&s.added), x);

        self.mlp
            .apply(x, &mut s.normed, &mut s.hidden, &mut s.added);
        std::mem::swap(x, &mut s.added);
    }
}

/// Attention of each decoder's rows of `q` over its own tokens.
fn attend_own<'a>(
    batch: &'a [Rows<'_>],
    layer: usize,
    q: Matrix<'a>,
    mut to: &'a mut [f32],
    weights: &'a mut [Vec<f32>],
) {
    let mut queries = Vec::new();
    let mut first = 0;
    for (rows, weights) in batch.iter().zip(weights) {
        let Some(kv) = rows.own.get(layer) else {
            continue;
        };
        let count = rows.tokens.len();
        let own = to.split_off_mut(..(count * kv.heads() * kv.width()).min(to.len()));
        queries.push(Query {
            q: q.rows(first, count),
            kv,
            causal: true,
            want: &[],
            to: own.unwrap_or_default(),
            weights,
        });
        first += count;
    }
    attend(&mut queries);
}

/// Attention of each decoder's rows of `q` over its window. Neighbours with one window (the lanes of a beam) go
/// together, so that its keys and values are read once.
fn attend_windows<'a>(
    batch: &[Rows<'_>],
    layer: usize,
    q: Matrix<'a>,
    mut to: &'a mut [f32],
    weights: &'a mut [Vec<f32>],
) {
    let together = |a: &Rows<'_>, b: &Rows<'_>| {
        std::ptr::eq(a.cross, b.cross) && a.wanted(layer) == b.wanted(layer)
    };
    let mut queries = Vec::new();
    let mut shared = Vec::new();
    let (mut first, mut rest) = (0, weights);
    for lanes in batch.chunk_by(together) {
        let count: usize = lanes.iter().map(|rows| rows.tokens.len()).sum();
        let (of_lanes, others) = rest.split_at_mut(lanes.len().min(rest.len()));
        rest = others;
        let (Some(one), Some((weights, more))) = (lanes.first(), of_lanes.split_first_mut()) else {
            continue;
        };
        let Some(kv) = one.cross.get(layer) else {
            continue;
        };
        let own = to.split_off_mut(..(count * kv.heads() * kv.width()).min(to.len()));
        if lanes.len() > 1 {
            shared.push((queries.len(), lanes, more));
        }
        queries.push(Query {
            q: q.rows(first, count),
            kv,
            causal: false,
            want: one.wanted(layer),
            to: own.unwrap_or_default(),
            weights,
        });
        first += count;
    }
    attend(&mut queries);
    for (at, lanes, more) in shared {
        if let Some(query) = queries.get_mut(at) {
            let shape = (query.q.count, query.kv.len());
            deal(query.weights, shape, lanes, more);
        }
    }
}

/// Gives each lane its rows of the weights of all, `[heads, rows, frames]`: the first keeps its own in `all`, the others
/// get theirs in `more`.
fn deal(
    all: &mut Vec<f32>,
    (rows, frames): (usize, usize),
    lanes: &[Rows<'_>],
    more: &mut [Vec<f32>],
) {
    let whole = std::mem::take(all);
    let mut first = 0;
    for (lane, to) in lanes.iter().zip(std::iter::once(all).chain(more)) {
        let count = lane.tokens.len();
        to.clear();
        for head in whole.chunks_exact((rows * frames).max(1)) {
            let own = head.get(first * frames..(first + count) * frames);
            to.extend_from_slice(own.unwrap_or_default());
        }
        first += count;
    }
}
