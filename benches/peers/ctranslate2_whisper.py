"""CTranslate2 (what faster-whisper runs on; CPU), measured a window at a time. Questions and answers as openai_whisper.py's,
with the precisions "f32" and "int8".

Its decoder can only be run whole, so a step's time is got from runs of two lengths, and a prefill has none; the log-mel is
faster-whisper's.
"""

import sys
import tempfile
import time
from importlib.metadata import version

import ctranslate2
import numpy
from faster_whisper.feature_extractor import FeatureExtractor

import weights
from talk import answer, milliseconds, questions


def hear(features):
    sound = numpy.sin(numpy.arange(160000, dtype=numpy.float32) * 0.37)
    mel = features(numpy.pad(sound, (0, 320000)), padding=0)[:, :3000]
    return numpy.ascontiguousarray(numpy.pad(mel, ((0, 0), (0, 3000 - mel.shape[1])))[None])


def decode(model, audio, prompt, longest):
    """Milliseconds, and the tokens that were decoded in them."""
    start = time.perf_counter()
    (result,) = model.generate(
        audio,
        [prompt],
        beam_size=1,
        max_length=longest,
        suppress_blank=False,
        # <|endoftext|>, which would end it sooner.
        suppress_tokens=[prompt[0] - 1],
    )
    return milliseconds(start), len(result.sequences_ids[0])


def run(model, features, start_token, prompt, steps):
    # CTranslate2 wants to see this token somewhere.
    prompt = [start_token, *range(101, 100 + prompt)]
    start = time.perf_counter()
    mel = hear(features)
    log_mel = milliseconds(start)

    view = ctranslate2.StorageView.from_array(mel)
    start = time.perf_counter()
    audio = model.encode(view)
    encoder = milliseconds(start)

    short, few = decode(model, audio, prompt, 2 * len(prompt))
    long, many = decode(model, audio, prompt, 2 * len(prompt) + 4 * steps)
    times = {"mel": log_mel, "encoder": encoder}
    # Something else took the processor in between.
    if long > short:
        times["step"] = (long - short) / (many - few)
    return times


def main():
    threads = int(sys.argv[1])
    answer({"name": f"CTranslate2 {ctranslate2.__version__} (faster-whisper {version('faster-whisper')})"})
    model, features, start_token = None, None, None
    for question in questions():
        if "load" in question:
            config, _ = weights.read(question["load"])
            start_token = config["decoder_start_token_id"]
            features = FeatureExtractor(feature_size=config["num_mel_bins"])
            with tempfile.TemporaryDirectory() as folder:
                weights.ctranslate2(question["load"], folder)
                compute = {"f32": "float32", "int8": "int8"}[question["precision"]]
                model = ctranslate2.models.Whisper(folder, compute_type=compute, intra_threads=threads)
            answer({})
        elif "encode" in question:
            audio = numpy.array(model.encode(ctranslate2.StorageView.from_array(hear(features))))
            answer({"states": audio[0, :8].flatten().tolist()})
        else:
            answer(run(model, features, start_token, **question["run"]))


if __name__ == "__main__":
    main()
