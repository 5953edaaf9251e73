// SPDX-License-Identifier: MPL-2.0

//! The flags of the programs that people come from, with their defaults, as the programs' own sources have them.

/// Flags that mean the same, and what they are when not given.
pub type Flag = (&'static str, &'static str);

/// The programs, in the order of `docs/migrating.md`.
pub const PROGRAMS: [(&str, &[Flag]); 8] = [
    ("simulstreaming", SIMULSTREAMING),
    ("config", CONFIG),
    ("simulstreaming server", SIMULSTREAMING_SERVER),
    ("whisper online", WHISPER_ONLINE),
    ("whisper online server", WHISPER_ONLINE_SERVER),
    ("stream", STREAM),
    ("cli", CLI),
    ("bridges", BRIDGES),
];

/// simulstreaming_whisper.py, ufal/SimulStreaming 077ea37d5ab4ff98bc567e4507f140dc4e5d5ad6.
const SIMULSTREAMING: &[Flag] = &[
    ("--min-chunk-size", "1.2 s"),
    ("--lan, --language", "en"),
    ("--task", "transcribe"),
    ("--vac", "off"),
    ("--vac-chunk-size", "0.04 s"),
    ("-l, --log-level", "DEBUG"),
    ("--logdir", "none"),
    ("--out-txt", "off"),
    ("--model_path", "./large-v3.pt"),
    ("-b, --beams", "1"),
    ("--decoder", "by `--beams`"),
    ("--audio_max_len", "30.0 s"),
    ("--audio_min_len", "0.0 s"),
    ("--frame_threshold", "25"),
    ("--cif_ckpt_path", "none"),
    ("--never_fire, --no-never_fire", "off"),
    ("--init_prompt", "none"),
    ("--static_init_prompt", "none"),
    ("--max_context_tokens", "none: 448"),
    ("audio_path", ""),
    ("--start_at", "0.0 s"),
    ("--comp_unaware", "off"),
];

/// AlignAttConfig of the same.
const CONFIG: &[Flag] = &[("rewind_threshold", "200")];

/// simulstreaming_whisper_server.py of the same, beside those.
const SIMULSTREAMING_SERVER: &[Flag] = &[
    ("--host", "localhost"),
    ("--port", "43007"),
    ("--warmup-file", "none"),
];

/// whisper_online.py, ufal/whisper_streaming 1f25a1a48bd9807159989e6596178c69e797ac75.
const WHISPER_ONLINE: &[Flag] = &[
    ("--min-chunk-size", "1.0 s"),
    ("--model", "large-v2"),
    ("--model_cache_dir", "none"),
    ("--model_dir", "none"),
    ("--lan, --language", "auto"),
    ("--task", "transcribe"),
    ("--backend", "faster-whisper"),
    ("--vac", "off"),
    ("--vac-chunk-size", "0.04 s"),
    ("--vad", "off"),
    ("--buffer_trimming", "segment"),
    ("--buffer_trimming_sec", "15 s"),
    ("-l, --log-level", "DEBUG"),
    ("audio_path", ""),
    ("--start_at", "0.0 s"),
    ("--offline", "off"),
    ("--comp_unaware", "off"),
];

/// whisper_online_server.py of the same, beside those.
const WHISPER_ONLINE_SERVER: &[Flag] = &[
    ("--host", "localhost"),
    ("--port", "43007"),
    ("--warmup-file", "none"),
];

/// examples/stream, ggml-org/whisper.cpp 233fe1fc9b48a09e361d3594520838ca266537fe.
const STREAM: &[Flag] = &[
    ("-t, --threads", "4"),
    ("--step", "3000 ms"),
    ("--length", "10000 ms"),
    ("--keep", "200 ms"),
    ("-c, --capture", "-1"),
    ("-mt, --max-tokens", "32"),
    ("-ac, --audio-ctx", "0"),
    ("-bs, --beam-size", "-1"),
    ("-vth, --vad-thold", "0.6"),
    ("-fth, --freq-thold", "100 Hz"),
    ("-tr, --translate", "off"),
    ("-nf, --no-fallback", "off"),
    ("-ps, --print-special", "off"),
    ("-kc, --keep-context", "off"),
    ("-l, --language", "en"),
    ("-m, --model", "models/ggml-base.en.bin"),
    ("-f, --file", "none"),
    ("-tdrz, --tinydiarize", "off"),
    ("-sa, --save-audio", "off"),
    ("-ng, --no-gpu", "off"),
    ("-fa, --flash-attn", "on"),
    ("-nfa, --no-flash-attn", "off"),
];

/// examples/cli of the same.
const CLI: &[Flag] = &[
    ("-t, --threads", "4"),
    ("-p, --processors", "1"),
    ("-ot, --offset-t", "0 ms"),
    ("-on, --offset-n", "0"),
    ("-d, --duration", "0 ms"),
    ("-mc, --max-context", "-1"),
    ("-ml, --max-len", "0"),
    ("-bo, --best-of", "5"),
    ("-bs, --beam-size", "5"),
    ("-ac, --audio-ctx", "0"),
    ("-wt, --word-thold", "0.01"),
    ("-et, --entropy-thold", "2.40"),
    ("-lpt, --logprob-thold", "-1.00"),
    ("-nth, --no-speech-thold", "0.6"),
    ("-tp, --temperature", "0.00"),
    ("-tpi, --temperature-inc", "0.20"),
    ("-debug, --debug-mode", "off"),
    ("-tr, --translate", "off"),
    ("-di, --diarize", "off"),
    ("-tdrz, --tinydiarize", "off"),
    ("-sow, --split-on-word", "off"),
    ("-nf, --no-fallback", "off"),
    ("-otxt, --output-txt", "off"),
    ("-ovtt, --output-vtt", "off"),
    ("-osrt, --output-srt", "off"),
    ("-owts, --output-words", "off"),
    ("-olrc, --output-lrc", "off"),
    ("-fp, --font-path", "a Mac's"),
    ("-ocsv, --output-csv", "off"),
    ("-oj, --output-json", "off"),
    ("-ojf, --output-json-full", "off"),
    ("-of, --output-file", "none"),
    ("-np, --no-prints", "off"),
    ("-ps, --print-special", "off"),
    ("-pc, --print-colors", "off"),
    ("--print-confidence", "off"),
    ("-pp, --print-progress", "off"),
    ("-nt, --no-timestamps", "off"),
    ("-l, --language", "en"),
    ("-dl, --detect-language", "off"),
    ("--prompt", "none"),
    ("--carry-initial-prompt", "off"),
    ("-m, --model", "models/ggml-base.en.bin"),
    ("-f, --file", "none"),
    ("-oved, --ov-e-device", "CPU"),
    ("-dtw, --dtw", "none"),
    ("-ls, --log-score", "off"),
    ("-ng, --no-gpu", "off"),
    ("-dev, --device", "0"),
    ("-fa, --flash-attn", "on"),
    ("-nfa, --no-flash-attn", "off"),
    ("-sns, --suppress-nst", "off"),
    ("--suppress-regex", "none"),
    ("--grammar", "none"),
    ("--grammar-rule", "none"),
    ("--grammar-penalty", "100.0"),
    ("--vad", "off"),
    ("-vm, --vad-model", "none"),
    ("-vt, --vad-threshold", "0.50"),
    ("-vspd, --vad-min-speech-duration-ms", "250 ms"),
    ("-vsd, --vad-min-silence-duration-ms", "100 ms"),
    ("-vmsd, --vad-max-speech-duration-s", "endless"),
    ("-vp, --vad-speech-pad-ms", "30 ms"),
    ("-vo, --vad-samples-overlap", "0.10 s"),
];

/// What bridges between FreeSWITCH and a recogniser are told.
const BRIDGES: &[Flag] = &[
    ("STREAM_BUFFER_SIZE", "20 ms"),
    ("STREAM_MESSAGE_DEFLATE", "on"),
    ("STREAM_HEART_BEAT", "none"),
    ("STREAM_EXTRA_HEADERS", "none"),
    ("MOD_AUDIO_FORK_SUBPROTOCOL_NAME", "audio.drachtio.org"),
    ("mono, mixed, stereo", ""),
    ("8k, 16k", ""),
    ("record_sample_rate", "the channel's"),
    ("enable_file_write_buffering", "true"),
    ("RECORD_READ_ONLY", "false"),
    ("RECORD_STEREO", "false"),
    ("silence before the end of speech", "1.5 s"),
    ("speech that counts", "0.3 s"),
    ("BARGE_IN_THRESHOLD", "1.5 s"),
    ("words that interrupt", "5"),
    ("recording for the answer's verdict", "2.3 s"),
    ("words of machines and humans", "lists"),
];
