#![no_main]

use gstwhisperstream::whisper::fuzzing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(fuzzing::safetensors(data)));
