//! The text decoder's weights: embeddings, self-attention, cross-attention, vocabulary.

use candle_core::{Device, Tensor};
use candle_nn::{Embedding, Module};

use super::WhisperError;
use super::config::ModelConfig;
use super::kernels::{self, KeyValues};
use super::ops::{Linear, Mlp, Norm, attention, remember, values};
use super::weights::Weights;

pub struct TextDecoder {
    /// `[vocab, d]`, also the projection to the vocabulary.
    embedding: Embedding,
    /// `[text positions, d]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
}

struct Layer {
    norm: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    cross_norm: Norm,
    cross_q: Linear,
    cross_k: Linear,
    cross_v: Linear,
    cross_o: Linear,
    mlp: Mlp,
    heads: usize,
}

/// One decoder's rows of a step.
pub struct Rows<'a> {
    pub tokens: &'a [u32],
    /// Of the first of them.
    pub position: usize,
    /// Keys and values of the window, layer by layer.
    pub cross: &'a [KeyValues],
    /// Keys and values of the tokens fed so far, layer by layer.
    pub own: &'a mut [KeyValues],
    /// The cross-attention heads of each layer whose weights are wanted.
    pub wanted: &'a [Vec<usize>],
    pub probe_row: Option<usize>,
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
        let embedding = weights.tensor("decoder.embed_tokens.weight", &[shape.vocab_size, d])?;
        let positions = "decoder.embed_positions.weight";
        let positions = weights.tensor(positions, &[shape.text_positions, d])?;
        let layers = (0..shape.decoder_layers)
            .map(|i| Layer::load(weights, &format!("decoder.layers.{i}"), config));
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(TextDecoder {
            embedding: Embedding::new(embedding, d),
            positions,
            layers,
            norm: Norm::load(weights, "decoder.layer_norm", d)?,
        })
    }

    /// How many text positions, from the first, look trained: a row that training never reached is still as small as it
    /// was drawn, so the last one at least half as long as the usual (the median of the first 64) ends them. Models
    /// trained on short texts know far fewer positions than they have; in OpenAI's all 448 were seen.
    pub fn trained_positions(&self) -> Result<usize, WhisperError> {
        let norms = self.positions.sqr()?.sum(1)?.sqrt()?.to_vec1::<f32>()?;
        let mut first = norms
            .get(..norms.len().min(64))
            .unwrap_or_default()
            .to_vec();
        first.sort_by(f32::total_cmp);
        let usual = first.get(first.len() / 2).copied().unwrap_or_default();
        Ok(norms
            .iter()
            .rposition(|&norm| norm >= usual / 2.0)
            .map_or(0, |last| last + 1))
    }

    /// Cross keys and values of one layer for encoder states `[frames, d]`.
    pub fn cross(&self, layer: usize, states: &Tensor) -> Result<KeyValues, WhisperError> {
        let Some(layer) = self.layers.get(layer) else {
            return Err(candle_core::Error::Msg(format!("no decoder layer {layer}")).into());
        };
        let (frames, d) = states.dims2()?;
        let mut cross = KeyValues::new(frames, layer.heads, d / layer.heads);
        let (k, v) = (
            layer.cross_k.forward(states)?,
            layer.cross_v.forward(states)?,
        );
        remember(&mut cross, &k, &v)?;
        Ok(cross)
    }

    /// An empty self-attention cache for each layer.
    pub fn own(&self) -> Vec<KeyValues> {
        let (positions, d) = self.positions.dims2().unwrap_or_default();
        let layers = self.layers.iter();
        layers
            .map(|layer| KeyValues::new(positions, layer.heads, d / layer.heads))
            .collect()
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
        let count = ids.len();
        let ids = Tensor::from_vec(ids, count, &Device::Cpu)?;
        let positions = Tensor::from_vec(positions, count, &Device::Cpu)?;
        let x = self.embedding.forward(&ids)?;
        let mut x = (x + self.positions.index_select(&positions, 0)?)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(i, &x, batch, |decoder, weights| sink(decoder, i, weights))?;
        }
        self.logits(&x, batch)
    }

    /// Vocabulary logits of the rows asked for.
    fn logits(&self, states: &Tensor, batch: &[Rows<'_>]) -> Result<Vec<Logits>, WhisperError> {
        let mut asked = Vec::new();
        let mut first = 0;
        for rows in batch {
            asked.push((first + rows.tokens.len() - 1) as u32);
            asked.extend(rows.probe_row.map(|row| (first + row) as u32));
            first += rows.tokens.len();
        }
        let asked = Tensor::new(asked, &Device::Cpu)?;
        let x = self.norm.forward(&states.index_select(&asked, 0)?)?;
        let d = x.dim(1)?;
        let logits = values(&x, |x| {
            values(self.embedding.embeddings(), |w| {
                kernels::linear(x, w, d, &[])
            })
        })??;
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

impl Layer {
    fn load(
        weights: &mut Weights,
        name: &str,
        config: &ModelConfig,
    ) -> Result<Layer, WhisperError> {
        let (d, heads) = (config.shape.d_model, config.shape.decoder_heads);
        let scale = ((d / heads) as f32).powf(-0.5);
        let own = format!("{name}.self_attn");
        let cross = format!("{name}.encoder_attn");
        Ok(Layer {
            norm: Norm::load(weights, &format!("{own}_layer_norm"), d)?,
            q: Linear::load_scaled(weights, &format!("{own}.q_proj"), (d, d), scale)?,
            k: Linear::load(weights, &format!("{own}.k_proj"), (d, d), false)?,
            v: Linear::load(weights, &format!("{own}.v_proj"), (d, d), true)?,
            o: Linear::load(weights, &format!("{own}.out_proj"), (d, d), true)?,
            cross_norm: Norm::load(weights, &format!("{cross}_layer_norm"), d)?,
            cross_q: Linear::load_scaled(weights, &format!("{cross}.q_proj"), (d, d), scale)?,
            cross_k: Linear::load(weights, &format!("{cross}.k_proj"), (d, d), false)?,
            cross_v: Linear::load(weights, &format!("{cross}.v_proj"), (d, d), true)?,
            cross_o: Linear::load(weights, &format!("{cross}.out_proj"), (d, d), true)?,
            mlp: Mlp::load(weights, name, d, config.decoder_ffn)?,
            heads,
        })
    }

    fn forward(
        &self,
        at: usize,
        x: &Tensor,
        batch: &mut [Rows<'_>],
        mut sink: impl FnMut(usize, &[f32]),
    ) -> Result<Tensor, WhisperError> {
        let h = self.norm.forward(x)?;
        let q = self.q.forward(&h)?;
        let (k, v) = (self.k.forward(&h)?, self.v.forward(&h)?);
        let attended = each(batch, &q, |_, rows, place, q| {
            let Some(own) = rows.own.get_mut(at) else {
                return Ok(q.clone());
            };
            let (k, v) = (place.of(&k)?, place.of(&v)?);
            remember(own, &k, &v)?;
            Ok(attention(q, own, true, &[])?.0)
        })?;
        let x = self.o.forward_and_add(&attended, x)?;

        let q = self.cross_q.forward(&self.cross_norm.forward(&x)?)?;
        let none = Vec::new();
        let attended = each(batch, &q, |decoder, rows, _, q| {
            let Some(cross) = rows.cross.get(at) else {
                return Ok(q.clone());
            };
            let wanted = rows.wanted.get(at).unwrap_or(&none);
            let (attended, weights) = attention(q, cross, false, wanted)?;
            sink(decoder, &weights);
            Ok(attended)
        })?;
        let x = self.cross_o.forward_and_add(&attended, &x)?;
        self.mlp.forward(&x)
    }
}

/// Where a decoder's rows lie among all.
struct Place {
    first: usize,
    count: usize,
}

impl Place {
    fn of(&self, x: &Tensor) -> Result<Tensor, WhisperError> {
        Ok(x.narrow(0, self.first, self.count)?)
    }
}

/// Does to each decoder's rows of `q` what is its own: decoder's number, its rows, their place, and `q` there.
fn each(
    batch: &mut [Rows<'_>],
    q: &Tensor,
    mut f: impl FnMut(usize, &mut Rows<'_>, &Place, &Tensor) -> Result<Tensor, WhisperError>,
) -> Result<Tensor, WhisperError> {
    let mut first = 0;
    let mut parts = Vec::new();
    for (decoder, rows) in batch.iter_mut().enumerate() {
        let count = rows.tokens.len();
        let place = Place { first, count };
        parts.push(f(decoder, rows, &place, &place.of(q)?)?);
        first += count;
    }
    Ok(Tensor::cat(&parts, 0)?)
}
