//! The text decoder's weights: embeddings, self-attention, cross-attention, vocabulary.

use candle_core::{Device, Tensor};
use candle_nn::{Embedding, Module};

use super::config::ModelConfig;
use super::kernels::{self, KeyValues};
use super::ops::{Linear, Mlp, Norm, attention, remember, values};
use super::weights::Weights;
use super::{Cancel, WINDOW_FRAMES, WhisperError};

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

/// What one layer remembers of a running pass.
pub struct LayerCache {
    /// Of the window.
    cross: KeyValues,
    /// Of the tokens fed so far.
    own: KeyValues,
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

    /// Cross keys and values of `encoded` `[1500, d]`, layer by layer.
    pub fn start(
        &self,
        encoded: &Tensor,
        cancel: &Cancel,
    ) -> Result<Vec<LayerCache>, WhisperError> {
        let caches = self.layers.iter().map(|layer| {
            cancel.check()?;
            let (k, v) = (
                layer.cross_k.forward(encoded)?,
                layer.cross_v.forward(encoded)?,
            );
            let width = encoded.dim(1)? / layer.heads;
            let mut cross = KeyValues::new(WINDOW_FRAMES, layer.heads, width);
            remember(&mut cross, &k, &v)?;
            let own = KeyValues::new(self.positions.dim(0)?, layer.heads, width);
            Ok(LayerCache { cross, own })
        });
        caches.collect()
    }

    /// Runs `tokens`, the first of which stands at `position`; returns the last layer's states `[rows, d]`.
    /// `want`: the cross-attention heads of each layer whose weights go to `sink(layer, head's place, weights)`.
    pub fn forward(
        &self,
        tokens: &[u32],
        position: usize,
        caches: &mut [LayerCache],
        want: &[Vec<usize>],
        mut sink: impl FnMut(usize, &[f32]),
        cancel: &Cancel,
    ) -> Result<Tensor, WhisperError> {
        let ids = Tensor::from_slice(tokens, tokens.len(), &Device::Cpu)?;
        let x = self.embedding.forward(&ids)?;
        let mut x = (x + self.positions.narrow(0, position, tokens.len())?)?;
        let none = Vec::new();
        for (i, (layer, cache)) in self.layers.iter().zip(caches).enumerate() {
            cancel.check()?;
            let want = want.get(i).unwrap_or(&none);
            let (states, weights) = layer.forward(&x, cache, want)?;
            sink(i, &weights);
            x = states;
        }
        Ok(x)
    }

    /// Vocabulary logits of one row of [`forward`](Self::forward)'s states.
    pub fn logits(&self, states: &Tensor, row: usize) -> Result<Vec<f32>, WhisperError> {
        let x = self
            .norm
            .forward(&states.narrow(0, row, 1)?.contiguous()?)?;
        values(&x, |x| {
            values(self.embedding.embeddings(), |w| {
                kernels::linear(x, w, x.len(), &[])
            })
        })?
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
        x: &Tensor,
        cache: &mut LayerCache,
        want: &[usize],
    ) -> Result<(Tensor, Vec<f32>), WhisperError> {
        let h = self.norm.forward(x)?;
        let q = self.q.forward(&h)?;
        remember(&mut cache.own, &self.k.forward(&h)?, &self.v.forward(&h)?)?;
        let (attended, _) = attention(&q, &cache.own, true, &[])?;
        let x = self.o.forward_and_add(&attended, x)?;

        let q = self.cross_q.forward(&self.cross_norm.forward(&x)?)?;
        let (attended, weights) = attention(&q, &cache.cross, false, want)?;
        let x = self.cross_o.forward_and_add(&attended, &x)?;
        Ok((self.mlp.forward(&x)?, weights))
    }
}
