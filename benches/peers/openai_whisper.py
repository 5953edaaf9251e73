"""openai-whisper on PyTorch (CPU), measured a window at a time.

Argument: threads. {"load": Hugging Face directory, "precision": "f32" | "bf16"} -> {};
{"run": {"prompt": tokens, "steps": tokens}} -> milliseconds; {"encode": true} -> first states of the window.
"""

import contextlib
import sys
import time
from importlib.metadata import version

import torch
from whisper.audio import log_mel_spectrogram

import weights
from talk import answer, milliseconds, questions


def hear(model):
    """All held audio anew, as the reference does in every pass."""
    sound = torch.sin(torch.arange(160000) * 0.37)
    return log_mel_spectrogram(sound, model.dims.n_mels, padding=480000)[None, :, :3000]


def run(model, prompt, steps):
    start = time.perf_counter()
    mel = hear(model)
    log_mel = milliseconds(start)

    start = time.perf_counter()
    audio = model.encoder(mel)
    encoder = milliseconds(start)

    cache, hooks = model.install_kv_cache_hooks()
    try:
        start = time.perf_counter()
        model.decoder(torch.arange(100, 100 + prompt)[None], audio, kv_cache=cache)
        prefill = milliseconds(start)
        start = time.perf_counter()
        for token in range(200, 200 + steps):
            model.decoder(torch.tensor([[token]]), audio, kv_cache=cache)
        step = milliseconds(start) / steps
    finally:
        for hook in hooks:
            hook.remove()
    return {"mel": log_mel, "encoder": encoder, "prefill": prefill, "step": step}


@torch.inference_mode()
def main():
    torch.set_num_threads(int(sys.argv[1]))
    answer({"name": f"openai-whisper {version('openai-whisper')} on PyTorch {torch.__version__}"})
    model, precision = None, "f32"
    for question in questions():
        if "load" in question:
            model, precision = weights.openai(question["load"]), question["precision"]
            answer({})
            continue
        reduced = precision == "bf16"
        with torch.autocast("cpu", torch.bfloat16) if reduced else contextlib.nullcontext():
            if "encode" in question:
                answer({"states": model.encoder(hear(model))[0, :8].float().flatten().tolist()})
            else:
                answer(run(model, **question["run"]))


if __name__ == "__main__":
    main()
