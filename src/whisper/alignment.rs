//! Which cross-attention heads follow the audio.

use super::{AlignmentHead, WhisperConfig, WhisperError};

/// How a model's alignment heads were found, so that a guess can be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignmentSource {
    /// The model's own `generation_config.json` names them.
    Model,
    /// OpenAI's list for the released model of this shape. Not certain where two models share a shape
    /// (large-v1 and large-v2: v2 is assumed).
    Table { model: &'static str, certain: bool },
    /// Nothing is known: every head of the last half of the decoder's layers.
    LastHalf,
}

impl AlignmentHead {
    /// Reads `layer:head,...`, as the property `alignment-heads` has it, and checks it against the model.
    pub fn parse_list(
        text: &str,
        config: &WhisperConfig,
    ) -> Result<Vec<AlignmentHead>, WhisperError> {
        let bad = |reason: String| WhisperError::BadAlignmentHeads {
            text: text.to_owned(),
            reason,
        };
        let mut heads = Vec::new();
        for item in text.split(',').map(str::trim) {
            let pair = item.split_once(':').and_then(|(layer, head)| {
                Some((layer.trim().parse().ok()?, head.trim().parse().ok()?))
            });
            let Some((layer, head)) = pair else {
                return Err(bad(format!("{item:?} is not layer:head")));
            };
            if layer >= config.decoder_layers {
                let layers = config.decoder_layers;
                return Err(bad(format!(
                    "there is no layer {layer}, this model's decoder has {layers}, counted from 0"
                )));
            }
            if head >= config.decoder_heads {
                let count = config.decoder_heads;
                return Err(bad(format!(
                    "there is no head {head}, this model's layers have {count}, counted from 0"
                )));
            }
            let head = AlignmentHead { layer, head };
            if heads.contains(&head) {
                return Err(bad(format!("{item} is named twice")));
            }
            heads.push(head);
        }
        Ok(heads)
    }
}

/// The heads of a model: its own list if that fits its shape, else the table's, else the last half.
/// (Distilled models are published with the list of the model they come from: such a list does not fit.)
pub fn choose(
    own: Option<&[AlignmentHead]>,
    config: &WhisperConfig,
) -> (Vec<AlignmentHead>, AlignmentSource) {
    let fits = |h: &AlignmentHead| h.layer < config.decoder_layers && h.head < config.decoder_heads;
    if let Some(own) = own
        && !own.is_empty()
        && own.iter().all(fits)
    {
        return (own.to_vec(), AlignmentSource::Model);
    }
    let known = TABLE.iter().find(|known| {
        known.layers == config.decoder_layers
            && known.heads == config.decoder_heads
            && known.multilingual == config.multilingual
            && known.vocab.is_none_or(|v| v == config.vocab_size)
            && known.encoder_layers == config.encoder_layers
    });
    if let Some(known) = known {
        let pairs = known.alignment.iter();
        let heads = pairs.map(|&(layer, head)| AlignmentHead { layer, head });
        let source = AlignmentSource::Table {
            model: known.model,
            certain: known.certain,
        };
        return (heads.collect(), source);
    }
    let first = config.decoder_layers / 2;
    let heads = (first..config.decoder_layers)
        .flat_map(|layer| (0..config.decoder_heads).map(move |head| AlignmentHead { layer, head }));
    (heads.collect(), AlignmentSource::LastHalf)
}

/// A released model, by shape.
struct Known {
    model: &'static str,
    encoder_layers: usize,
    layers: usize,
    heads: usize,
    multilingual: bool,
    /// Where the vocabulary tells models apart.
    vocab: Option<usize>,
    certain: bool,
    alignment: &'static [(usize, usize)],
}

const fn known(
    model: &'static str,
    (encoder_layers, layers, heads): (usize, usize, usize),
    multilingual: bool,
    alignment: &'static [(usize, usize)],
) -> Known {
    Known {
        model,
        encoder_layers,
        layers,
        heads,
        multilingual,
        vocab: None,
        certain: true,
        alignment,
    }
}

/// OpenAI's lists (openai/whisper, `whisper/__init__.py`).
#[rustfmt::skip]
const TABLE: [Known; 11] = [
    known("tiny.en", (4, 4, 6), false, &[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]),
    known("tiny", (4, 4, 6), true, &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]),
    known("base.en", (6, 6, 8), false, &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)]),
    known("base", (6, 6, 8), true, &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)]),
    known("small.en", (12, 12, 12), false, &[
        (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10),
        (10, 0), (10, 1), (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
    ]),
    known("small", (12, 12, 12), true, &[
        (5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5),
    ]),
    known("medium.en", (24, 24, 16), false, &[
        (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14),
        (18, 7), (18, 10), (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
    ]),
    known("medium", (24, 24, 16), true, &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)]),
    Known { vocab: Some(51866), ..known("large-v3", (32, 32, 20), true, &[
        (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6),
    ]) },
    Known { certain: false, vocab: Some(51865), ..known("large-v2", (32, 32, 20), true, &[
        (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11),
        (18, 19), (19, 11), (21, 2), (21, 3), (22, 3), (22, 9), (22, 12), (23, 5), (23, 7), (23, 13),
        (25, 5), (26, 1), (26, 12), (27, 15),
    ]) },
    known("large-v3-turbo", (32, 4, 20), true, &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(
        encoder_layers: usize,
        decoder_layers: usize,
        heads: usize,
        vocab: usize,
    ) -> WhisperConfig {
        WhisperConfig {
            mel_bins: 80,
            d_model: heads * 64,
            encoder_layers,
            encoder_heads: heads,
            decoder_layers,
            decoder_heads: heads,
            vocab_size: vocab,
            text_positions: 448,
            trained_positions: 448,
            alignment_heads: Vec::new(),
            suppress_tokens: Vec::new(),
            multilingual: vocab != 51864,
        }
    }

    #[test]
    fn released_models_are_known_by_shape() {
        for (config, name) in [
            (shape(4, 4, 6, 51864), "tiny.en"),
            (shape(12, 12, 12, 51865), "small"),
            (shape(32, 32, 20, 51866), "large-v3"),
            (shape(32, 4, 20, 51866), "large-v3-turbo"),
        ] {
            let (heads, source) = choose(None, &config);
            let expected = AlignmentSource::Table {
                model: name,
                certain: true,
            };
            assert_eq!(source, expected);
            assert!(heads.iter().all(|h| h.layer < config.decoder_layers));
        }
        let (heads, source) = choose(None, &shape(32, 32, 20, 51865));
        assert_eq!(heads.len(), 23);
        assert!(matches!(
            source,
            AlignmentSource::Table { certain: false, .. }
        ));
    }

    #[test]
    fn every_listed_head_exists_in_its_model() {
        for known in &TABLE {
            for &(layer, head) in known.alignment {
                assert!(
                    layer < known.layers && head < known.heads,
                    "{}",
                    known.model
                );
            }
        }
    }

    #[test]
    fn unknown_shapes_get_the_last_half_and_a_list_that_does_not_fit_is_not_used() {
        let config = shape(5, 3, 2, 51865);
        let (heads, source) = choose(None, &config);
        assert_eq!(source, AlignmentSource::LastHalf);
        assert_eq!(heads.len(), 4);
        let foreign = [AlignmentHead { layer: 7, head: 0 }];
        assert_eq!(choose(Some(&foreign), &config), (heads, source));
        let own = [AlignmentHead { layer: 2, head: 1 }];
        assert_eq!(
            choose(Some(&own), &config),
            (own.to_vec(), AlignmentSource::Model)
        );
    }

    #[test]
    fn the_property_is_checked_against_the_model() {
        let config = shape(4, 2, 3, 51865);
        let heads = AlignmentHead::parse_list(" 1:0, 0:2 ", &config).unwrap();
        assert_eq!(
            heads,
            [
                AlignmentHead { layer: 1, head: 0 },
                AlignmentHead { layer: 0, head: 2 }
            ]
        );
        for (text, reason) in [
            ("", "is not layer:head"),
            ("1", "is not layer:head"),
            ("1:0,", "is not layer:head"),
            ("-1:0", "is not layer:head"),
            ("2:0", "no layer 2"),
            ("0:3", "no head 3"),
            ("0:1,0:1", "named twice"),
        ] {
            let error = AlignmentHead::parse_list(text, &config).unwrap_err();
            assert!(error.to_string().contains(reason), "{text:?}: {error}");
        }
    }
}
