"""openai-whisper (PyTorch, CPU, f32) in a given shape with random weights; nothing is downloaded.

Reads one JSON object a line and answers with one:
{"load": ModelDimensions}, {"run": {"prompt": tokens, "steps": tokens}} -> milliseconds.
"""

import json
import sys
import time
from importlib.metadata import version

import torch
from whisper.audio import log_mel_spectrogram
from whisper.model import ModelDimensions, Whisper


def answer(value):
    print(json.dumps(value), flush=True)


def milliseconds(start):
    return (time.perf_counter() - start) * 1e3


@torch.inference_mode()
def run(model, prompt, steps):
    sound = torch.sin(torch.arange(160000) * 0.37)
    start = time.perf_counter()
    # All held audio anew, as the reference does in every pass.
    mel = log_mel_spectrogram(sound, model.dims.n_mels, padding=480000)[None, :, :3000]
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


def main():
    torch.set_num_threads(int(sys.argv[1]))
    name = f"openai-whisper {version('openai-whisper')} on PyTorch {torch.__version__}"
    answer({"name": f"{name}, f32, {torch.get_num_threads()} threads"})
    model = None
    for line in sys.stdin:
        question = json.loads(line)
        if "load" in question:
            torch.manual_seed(0)
            model = Whisper(ModelDimensions(**question["load"])).eval()
            # Left uninitialised by the constructor; values do not matter, NaN and denormals would.
            torch.nn.init.normal_(model.decoder.positional_embedding, std=0.02)
            answer({})
        else:
            answer(run(model, **question["run"]))


if __name__ == "__main__":
    main()
