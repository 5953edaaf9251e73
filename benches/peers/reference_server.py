"""The reference's way of serving many callers: one openai-whisper model on PyTorch (CPU, f32), one lock round it.

Argument: threads. {"load": Hugging Face directory, ...} -> {};
{"serve": {"legs": [{"start": s, "passes": [{"due": s, "held": s, "prompt": tokens, "steps": tokens}]}], "limit": s}} ->
{"finished": seconds of each pass of each leg, "cpu": s, "wall": s, "memory": MB}.

Each leg is a client whose audio arrives in real time. A pass is due when its chunk has come: log-mel of all held audio, a whole
30 s window through the encoder, the prompt, the steps. Clients wait for the lock in turn. One that had to wait hears all that has come
in the meantime in one pass, which has the steps of those that it stands for, less the dropped token of each. What the policy costs
(the attention that is looked at, the words) is not counted, nor are sockets and processes.
"""

import os
import sys
import time
from importlib.metadata import version

import torch
from whisper.audio import log_mel_spectrogram

import weights
from talk import answer, questions


def run(model, held, prompt, steps):
    sound = torch.sin(torch.arange(int(held * 16000)) * 0.37)
    mel = log_mel_spectrogram(sound, model.dims.n_mels, padding=480000)[None, :, :3000]
    audio = model.encoder(mel)
    cache, hooks = model.install_kv_cache_hooks()
    try:
        logits = model.decoder(torch.arange(100, 100 + max(prompt, 1))[None], audio, kv_cache=cache)
        for _ in range(steps):
            token = logits[0, -1].argmax()
            logits = model.decoder(token[None, None], audio, kv_cache=cache)
        logits[0, -1].argmax().item()
    finally:
        for hook in hooks:
            hook.remove()


def serve(model, legs, limit):
    waiting = [list(enumerate(leg["passes"])) for leg in legs]
    finished = [[None] * len(leg["passes"]) for leg in legs]
    begun, used = time.perf_counter(), time.process_time()

    def due(i):
        return legs[i]["start"] + waiting[i][0][1]["due"]

    while any(waiting) and time.perf_counter() - begun < limit:
        # Who has waited longest.
        i = min((i for i, passes in enumerate(waiting) if passes), key=due)
        left = due(i) - (time.perf_counter() - begun)
        if left > 0:
            time.sleep(left)
        now = time.perf_counter() - begun - legs[i]["start"]
        heard = []
        while waiting[i] and waiting[i][0][1]["due"] <= now:
            heard.append(waiting[i].pop(0))
        if not heard:
            continue
        passes = [one for _, one in heard]
        steps = sum(one["steps"] for one in passes) - (len(passes) - 1)
        run(model, passes[-1]["held"], passes[0]["prompt"], max(steps, 0))
        for place, _ in heard:
            finished[i][place] = time.perf_counter() - begun - legs[i]["start"]
    wall = time.perf_counter() - begun
    with open("/proc/self/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024 / 1e6
    return {"finished": finished, "cpu": time.process_time() - used, "wall": wall, "memory": memory}


@torch.inference_mode()
def main():
    torch.set_num_threads(int(sys.argv[1]))
    answer({"name": f"openai-whisper {version('openai-whisper')} on PyTorch {torch.__version__}, f32"})
    model = None
    for question in questions():
        if "load" in question:
            model = weights.openai(question["load"])
            run(model, 10, 40, 4)
            answer({"threads": torch.get_num_threads(), "process": os.getpid()})
        else:
            answer(serve(model, **question["serve"]))


if __name__ == "__main__":
    main()
