"""Reads a Hugging Face Whisper directory and makes the peers' models of it, so that all compute the same."""

import json
from pathlib import Path

import numpy
import safetensors.numpy
import torch
from whisper.model import ModelDimensions, Whisper

# Hugging Face's names, and openai-whisper's.
LAYERS = [
    ("self_attn_layer_norm", "attn_ln"),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn.", "attn."),
    ("encoder_attn.", "cross_attn."),
    ("final_layer_norm", "mlp_ln"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
]
REST = [
    ("embed_tokens", "token_embedding"),
    ("embed_positions.weight", "positional_embedding"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
]


def read(folder):
    """The configuration, and the weights in f32 by their names without `model.`."""
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    plain = folder / "model.safetensors"
    if plain.exists():
        stored = plain.read_bytes()
    else:
        import zstandard

        packed = folder / "model.safetensors.zst"
        stored = zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes())
    tensors = safetensors.numpy.load(stored)
    return config, {name.removeprefix("model."): value.astype(numpy.float32) for name, value in tensors.items()}


def openai(folder):
    """openai-whisper's model, f32."""
    config, tensors = read(folder)
    state = {}
    for name, value in tensors.items():
        if name == "proj_out.weight":
            continue
        if ".layers." in name:
            name = name.replace(".layers.", ".blocks.")
            for theirs, ours in LAYERS:
                name = name.replace(theirs, ours)
        else:
            for theirs, ours in REST:
                name = name.replace(theirs, ours)
        state[name] = torch.from_numpy(value.copy())
    dims = ModelDimensions(
        n_mels=config["num_mel_bins"],
        n_audio_ctx=config["max_source_positions"],
        n_audio_state=config["d_model"],
        n_audio_head=config["encoder_attention_heads"],
        n_audio_layer=config["encoder_layers"],
        n_vocab=config["vocab_size"],
        n_text_ctx=config["max_target_positions"],
        n_text_state=config["d_model"],
        n_text_head=config["decoder_attention_heads"],
        n_text_layer=config["decoder_layers"],
    )
    model = Whisper(dims).eval()
    missing, surplus = model.load_state_dict(state, strict=False)
    assert not surplus and set(missing) <= {"decoder.mask"}, (missing, surplus)
    return model


def ctranslate2(folder, output):
    """Writes CTranslate2's directory, f32; it quantises as it loads."""
    from ctranslate2.specs import WhisperSpec, common_spec
    from ctranslate2.converters.utils import fuse_linear

    config, tensors = read(folder)
    spec = WhisperSpec(
        config["encoder_layers"],
        config["encoder_attention_heads"],
        config["decoder_layers"],
        config["decoder_attention_heads"],
    )

    def linear(spec, name):
        spec.weight = tensors[f"{name}.weight"]
        if f"{name}.bias" in tensors:
            spec.bias = tensors[f"{name}.bias"]

    def norm(spec, name):
        spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def attention(spec, name, fused):
        norm(spec.layer_norm, f"{name}_layer_norm")
        for place, parts in enumerate(fused):
            layers = []
            for part in parts:
                layers.append(common_spec.LinearSpec())
                linear(layers[-1], f"{name}.{part}_proj")
                # What `has_bias` wants to see where there is none.
                if layers[-1].bias is None:
                    layers[-1].bias = numpy.zeros(config["d_model"], numpy.float32)
            fuse_linear(spec.linear[place], layers)

    for side, part in [("encoder", spec.encoder), ("decoder", spec.decoder)]:
        part.position_encodings.encodings = tensors[f"{side}.embed_positions.weight"]
        norm(part.layer_norm, f"{side}.layer_norm")
        for i, layer in enumerate(part.layer):
            name = f"{side}.layers.{i}"
            attention(layer.self_attention, f"{name}.self_attn", ["qkv", ["out"]])
            if side == "decoder":
                attention(layer.attention, f"{name}.encoder_attn", ["q", "kv", ["out"]])
            norm(layer.ffn.layer_norm, f"{name}.final_layer_norm")
            linear(layer.ffn.linear_0, f"{name}.fc1")
            linear(layer.ffn.linear_1, f"{name}.fc2")
    linear(spec.encoder.conv1, "encoder.conv1")
    linear(spec.encoder.conv2, "encoder.conv2")
    spec.decoder.embeddings.weight = tensors["decoder.embed_tokens.weight"]
    spec.decoder.projection.weight = tensors["decoder.embed_tokens.weight"]

    tokenizer = json.loads((Path(folder) / "tokenizer.json").read_text())
    tokens = {index: text for text, index in tokenizer["model"]["vocab"].items()}
    tokens.update((token["id"], token["content"]) for token in tokenizer["added_tokens"])
    spec.register_vocabulary([tokens[i] for i in range(config["vocab_size"])])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = []
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.optimize(quantization=None)
    spec.save(str(output))
