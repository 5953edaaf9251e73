//! The text decoder. Decoders of unlike lengths go together: rows, own keys and cross keys are padded to the longest,
//! and what is padding is masked.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Embedding, LayerNorm, Module};

use super::layers::{Attention, KeyValues, Loader, Mlp};
use crate::whisper::WhisperError;
use crate::whisper::config::ModelConfig;
use crate::whisper::decoder::{self, Logits};

pub struct TextDecoder {
    /// `[vocab, d]`, also the projection to the vocabulary.
    embedding: Embedding,
    /// `[text positions, d]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    device: Device,
    dtype: DType,
}

struct Layer {
    own: Attention,
    cross: Attention,
    mlp: Mlp,
}

/// Keys and values of the tokens fed so far, of one layer.
#[derive(Clone, Default)]
pub struct Own(Option<KeyValues>);

/// As the kernels' rows, over tensors.
pub type Rows<'a> = decoder::Rows<'a, KeyValues, Own>;

/// Attention weights on their way out, and whose they are.
struct Wanted {
    decoder: usize,
    layer: usize,
    /// Flat.
    weights: Tensor,
}

impl TextDecoder {
    pub fn load(loader: &mut Loader, config: &ModelConfig) -> Result<TextDecoder, WhisperError> {
        let shape = &config.shape;
        let (d, heads) = (shape.d_model, shape.decoder_heads);
        let embedding =
            loader.tensor("decoder.embed_tokens.weight", &[shape.vocab_size, d], 1.0)?;
        let positions = "decoder.embed_positions.weight";
        let layers = (0..shape.decoder_layers).map(|i| {
            let name = format!("decoder.layers.{i}");
            Ok(Layer {
                own: loader.attention(&format!("{name}.self_attn"), d, heads)?,
                cross: loader.attention(&format!("{name}.encoder_attn"), d, heads)?,
                mlp: loader.mlp(&name, d, config.decoder_ffn)?,
            })
        });
        let layers = layers.collect::<Result<_, WhisperError>>()?;
        Ok(TextDecoder {
            embedding: Embedding::new(embedding, d),
            positions: loader.tensor(positions, &[shape.text_positions, d], 1.0)?,
            layers,
            norm: loader.norm("decoder.layer_norm", d)?,
            device: loader.device.clone(),
            dtype: loader.dtype,
        })
    }

    pub fn positions(&self) -> &Tensor {
        &self.positions
    }

    pub fn own(&self) -> Vec<Own> {
        vec![Own::default(); self.layers.len()]
    }

    /// Cross keys and values of each layer for encoder states `[windows, frames, d]`.
    pub fn cross(&self, states: &Tensor) -> Result<Vec<KeyValues>, WhisperError> {
        let layers = self.layers.iter();
        layers
            .map(|layer| layer.cross.keys_and_values(states))
            .collect()
    }

    /// See [`super::Graph::step`].
    pub fn forward(
        &self,
        batch: &mut [Rows<'_>],
        sink: impl FnMut(usize, usize, &[f32]),
    ) -> Result<Vec<Logits>, WhisperError> {
        let rows = batch.iter().map(|d| d.tokens.len()).max().unwrap_or(0);
        let mut x = self.embed(batch, rows)?;
        let causal = self.causal_mask(batch, rows)?;
        let heard = self.heard_mask(batch)?;
        let mut wanted = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.listen_back(i, &x, batch, causal.as_ref())?;
            x = layer.listen(i, &x, batch, heard.as_ref(), &mut wanted)?;
            x = layer.mlp.forward(&x)?;
        }
        hand_out(wanted, sink)?;
        self.logits(&x, batch, rows)
    }

    /// Tokens and their positions, `[decoders, rows, d]`; rows behind a decoder's own are padding.
    fn embed(&self, batch: &[Rows<'_>], rows: usize) -> Result<Tensor, WhisperError> {
        let last = self.positions.dim(0)?.saturating_sub(1);
        let (mut ids, mut positions) = (Vec::new(), Vec::new());
        for decoder in batch {
            ids.extend(decoder.tokens);
            ids.resize(positions.len() + rows, 0);
            positions.extend((0..rows).map(|row| (decoder.position + row).min(last) as u32));
        }
        let count = ids.len();
        let ids = Tensor::from_vec(ids, count, &self.device)?;
        let positions = Tensor::from_vec(positions, count, &self.device)?;
        let x = (self.embedding.forward(&ids)? + self.positions.index_select(&positions, 0)?)?;
        Ok(x.reshape((batch.len(), rows, ()))?)
    }

    /// What each row may see of its decoder's tokens, `[decoders, 1, rows, tokens]`; `None` if that is all.
    fn causal_mask(&self, batch: &[Rows<'_>], rows: usize) -> Result<Option<Tensor>, WhisperError> {
        let keys = longest(batch, reach);
        if rows == 1 && batch.iter().all(|decoder| reach(decoder) == keys) {
            return Ok(None);
        }
        let mut mask = Vec::with_capacity(batch.len() * rows * keys);
        for decoder in batch {
            for row in 0..rows {
                let seen = (decoder.position + row + 1).min(reach(decoder));
                mask.extend((0..keys).map(|key| hide(key >= seen)));
            }
        }
        self.mask(mask, (batch.len(), 1, rows, keys)).map(Some)
    }

    /// Which frames each decoder's window has, `[decoders, 1, 1, frames]`; `None` if all have the same.
    fn heard_mask(&self, batch: &[Rows<'_>]) -> Result<Option<Tensor>, WhisperError> {
        let frames = longest(batch, frames_of);
        if batch.iter().all(|decoder| frames_of(decoder) == frames) {
            return Ok(None);
        }
        let mask = batch.iter().flat_map(|decoder| {
            let heard = frames_of(decoder);
            (0..frames).map(move |frame| hide(frame >= heard))
        });
        self.mask(mask.collect(), (batch.len(), 1, 1, frames))
            .map(Some)
    }

    fn mask(
        &self,
        mask: Vec<f32>,
        shape: (usize, usize, usize, usize),
    ) -> Result<Tensor, WhisperError> {
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        Ok(mask.to_dtype(self.dtype)?.to_device(&self.device)?)
    }

    /// Vocabulary logits of the rows asked for.
    fn logits(
        &self,
        x: &Tensor,
        batch: &[Rows<'_>],
        rows: usize,
    ) -> Result<Vec<Logits>, WhisperError> {
        let mut asked = Vec::new();
        for (at, decoder) in batch.iter().enumerate() {
            let first = at * rows;
            asked.push((first + decoder.tokens.len().saturating_sub(1)) as u32);
            asked.extend(decoder.probe_row.map(|row| (first + row) as u32));
        }
        let count = asked.len();
        let asked = Tensor::from_vec(asked, count, &self.device)?;
        let x = x.flatten_to(1)?.index_select(&asked, 0)?;
        let x = self.norm.forward(&x)?;
        let logits = x.matmul(&self.embedding.embeddings().t()?)?;
        let mut rows_of = logits.to_dtype(DType::F32)?.to_vec2()?.into_iter();
        let mut next = || rows_of.next().unwrap_or_default();
        let logits = batch.iter().map(|decoder| Logits {
            last: next(),
            probe: decoder.probe_row.map(|_| next()),
        });
        Ok(logits.collect())
    }
}

impl Layer {
    /// Self-attention; the rows' keys and values join each decoder's own.
    fn listen_back(
        &self,
        at: usize,
        x: &Tensor,
        batch: &mut [Rows<'_>],
        mask: Option<&Tensor>,
    ) -> Result<Tensor, WhisperError> {
        let h = self.own.norm(x)?;
        let q = self.own.queries(&h)?;
        let fresh = self.own.keys_and_values(&h)?;
        let keys = longest(batch, reach);
        let mut all = Vec::with_capacity(batch.len());
        for (i, decoder) in batch.iter_mut().enumerate() {
            let fresh = fresh.of(i)?.first(decoder.tokens.len())?;
            let Some(Own(own)) = decoder.own.get_mut(at) else {
                return Err(candle_core::Error::Msg(format!("no cache of layer {at}")).into());
            };
            let grown = match own.take() {
                Some(own) => own.then(&fresh)?,
                None => fresh,
            };
            all.push(own.insert(grown).clone());
        }
        let kv = KeyValues::stack(&all, keys)?;
        let weights = self.own.weights(&q, &kv, mask, x.dtype())?;
        self.own.gather(&weights, &kv, x)
    }

    /// Cross-attention to each decoder's window.
    fn listen(
        &self,
        at: usize,
        x: &Tensor,
        batch: &[Rows<'_>],
        mask: Option<&Tensor>,
        wanted: &mut Vec<Wanted>,
    ) -> Result<Tensor, WhisperError> {
        let q = self.cross.queries(&self.cross.norm(x)?)?;
        let cross = batch.iter().filter_map(|decoder| decoder.cross.get(at));
        let cross: Vec<KeyValues> = cross.cloned().collect();
        let kv = KeyValues::stack(&cross, longest(batch, frames_of))?;
        // Words get their times from these weights: they are never narrower than f32.
        let weights = self.cross.weights(&q, &kv, mask, DType::F32)?;
        for (i, decoder) in batch.iter().enumerate() {
            let heads = decoder.wanted(at);
            if heads.is_empty() {
                continue;
            }
            let heads: Vec<u32> = heads.iter().map(|&head| head as u32).collect();
            let heads = Tensor::new(heads, x.device())?;
            let weights = weights
                .get(i)?
                .index_select(&heads, 0)?
                .narrow(1, 0, decoder.tokens.len())?
                .narrow(2, 0, frames_of(decoder))?;
            wanted.push(Wanted {
                decoder: i,
                layer: at,
                weights: weights.flatten_all()?,
            });
        }
        self.cross.gather(&weights, &kv, x)
    }
}

/// Tokens that a decoder's cache holds once these rows are through.
fn reach(decoder: &Rows<'_>) -> usize {
    decoder.position + decoder.tokens.len()
}

fn frames_of(decoder: &Rows<'_>) -> usize {
    decoder.cross.first().map_or(0, KeyValues::rows)
}

fn longest(batch: &[Rows<'_>], of: impl Fn(&Rows<'_>) -> usize) -> usize {
    batch.iter().map(of).max().unwrap_or(0)
}

/// What is added to a score.
fn hide(hidden: bool) -> f32 {
    match hidden {
        true => f32::NEG_INFINITY,
        false => 0.0,
    }
}

/// Brings all the weights from the device at once.
fn hand_out(
    wanted: Vec<Wanted>,
    mut sink: impl FnMut(usize, usize, &[f32]),
) -> Result<(), WhisperError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let flat: Vec<&Tensor> = wanted.iter().map(|one| &one.weights).collect();
    let all: Vec<f32> = Tensor::cat(&flat, 0)?.to_vec1()?;
    let mut rest = all.as_slice();
    for one in &wanted {
        let (weights, behind) = rest.split_at(one.weights.elem_count().min(rest.len()));
        sink(one.decoder, one.layer, weights);
        rest = behind;
    }
    Ok(())
}
