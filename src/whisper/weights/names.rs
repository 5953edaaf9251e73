//! OpenAI's names of tensors, which whisper.cpp kept, as Hugging Face's.

/// The Hugging Face name of a tensor; names that are Hugging Face's already stay as they are.
pub fn hugging_face(name: &str) -> String {
    // Saved with or without the head model, or a wrapper for several GPUs, around it.
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.strip_prefix("model.").unwrap_or(name);
    match name {
        "encoder.positional_embedding" => return "encoder.embed_positions.weight".to_owned(),
        "decoder.positional_embedding" => return "decoder.embed_positions.weight".to_owned(),
        "decoder.token_embedding.weight" => return "decoder.embed_tokens.weight".to_owned(),
        _ => {}
    }
    if let Some(part) = name.strip_prefix("encoder.ln_post.") {
        return format!("encoder.layer_norm.{part}");
    }
    if let Some(part) = name.strip_prefix("decoder.ln.") {
        return format!("decoder.layer_norm.{part}");
    }
    in_block(name).unwrap_or_else(|| name.to_owned())
}

/// `encoder.blocks.3.attn.query.weight` as `encoder.layers.3.self_attn.q_proj.weight`.
fn in_block(name: &str) -> Option<String> {
    let (side, rest) = name.split_once(".blocks.")?;
    let (layer, rest) = rest.split_once('.')?;
    let (module, part) = rest.rsplit_once('.')?;
    let module = match module {
        "attn_ln" => "self_attn_layer_norm".to_owned(),
        "cross_attn_ln" => "encoder_attn_layer_norm".to_owned(),
        "mlp_ln" => "final_layer_norm".to_owned(),
        "mlp.0" => "fc1".to_owned(),
        "mlp.2" => "fc2".to_owned(),
        _ => {
            let (attention, projection) = module.split_once('.')?;
            let attention = match attention {
                "attn" => "self_attn",
                "cross_attn" => "encoder_attn",
                _ => return None,
            };
            let projection = match projection {
                "query" => "q_proj",
                "key" => "k_proj",
                "value" => "v_proj",
                "out" => "out_proj",
                _ => return None,
            };
            format!("{attention}.{projection}")
        }
    };
    Some(format!("{side}.layers.{layer}.{module}.{part}"))
}

#[cfg(test)]
mod tests {
    use super::hugging_face;

    #[test]
    fn openai_names_become_hugging_faces_and_those_stay() {
        for (theirs, ours) in [
            ("encoder.conv1.weight", "encoder.conv1.weight"),
            ("encoder.ln_post.bias", "encoder.layer_norm.bias"),
            ("decoder.ln.weight", "decoder.layer_norm.weight"),
            (
                "encoder.blocks.11.attn.query.weight",
                "encoder.layers.11.self_attn.q_proj.weight",
            ),
            (
                "decoder.blocks.0.cross_attn.out.bias",
                "decoder.layers.0.encoder_attn.out_proj.bias",
            ),
            (
                "decoder.blocks.0.cross_attn_ln.bias",
                "decoder.layers.0.encoder_attn_layer_norm.bias",
            ),
            (
                "encoder.blocks.1.mlp.0.weight",
                "encoder.layers.1.fc1.weight",
            ),
            ("encoder.blocks.1.mlp.2.bias", "encoder.layers.1.fc2.bias"),
            (
                "encoder.blocks.1.mlp_ln.bias",
                "encoder.layers.1.final_layer_norm.bias",
            ),
            (
                "module.decoder.token_embedding.weight",
                "decoder.embed_tokens.weight",
            ),
            (
                "model.decoder.layers.0.fc1.weight",
                "decoder.layers.0.fc1.weight",
            ),
            (
                "decoder.blocks.0.other.weight",
                "decoder.blocks.0.other.weight",
            ),
        ] {
            assert_eq!(hugging_face(theirs), ours);
        }
    }
}
