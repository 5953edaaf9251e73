//! Files of weights that are broken, or made to do harm: each gets a sentence, and costs neither time nor memory.

#[path = "common/formats.rs"]
#[allow(dead_code)]
mod formats;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::quantized::GgmlDType;
use formats::{Model, Stored, Torch};
use gstwhisperstream::whisper::{Backend, Cancel, ModelSource, Whisper, WhisperError};
use half::f16;
use tempfile::TempDir;

/// A folder with one file, under a name that tells nothing.
struct File {
    _dir: TempDir,
    path: PathBuf,
}

impl File {
    fn new() -> File {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        File { _dir: dir, path }
    }

    fn of(bytes: &[u8]) -> File {
        let file = File::new();
        file.write(bytes);
        file
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(&self.path, bytes).unwrap();
    }

    fn load(&self) -> Result<Whisper, WhisperError> {
        let source = ModelSource::Path(self.path.clone());
        Whisper::load(&source, Backend::default(), &Cancel::default(), &mut |_| {})
    }

    /// It is refused within a second, by a sentence with a remedy that holds each of `parts`.
    #[track_caller]
    fn refused(&self, parts: &[&str]) {
        let start = Instant::now();
        let message = match self.load() {
            Ok(_) => panic!("it was taken"),
            Err(e) => e.to_string(),
        };
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}: {message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
        assert!(message.contains(';'), "no remedy in: {message}");
    }
}

/// The small model in every format.
fn every_format(model: &Model) -> Vec<(&'static str, Vec<u8>)> {
    let file = File::new();
    let written = |write: &dyn Fn(&Path)| {
        write(&file.path);
        std::fs::read(&file.path).unwrap()
    };
    vec![
        (
            "safetensors",
            written(&|path| formats::write_safetensors(path, model)),
        ),
        (
            "pt",
            written(&|path| formats::write_pt(path, model, Stored::Half, false)),
        ),
        ("ggml", formats::ggml(model, GgmlDType::Q5_0)),
        ("gguf", formats::gguf(model, GgmlDType::Q8_0)),
    ]
}

/// Most memory that this process has ever held, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok());
    1024 * kilobytes.unwrap_or(0)
}

/// Does it with the process's memory watched.
fn frugally(work: impl FnOnce()) {
    let before = peak();
    work();
    let grown = peak().saturating_sub(before);
    // Other tests run beside; what these files claim is far beyond.
    assert!(grown < 1 << 30, "it took {grown} bytes");
}

#[test]
fn a_file_cut_short_at_any_place_is_refused() {
    for (format, bytes) in every_format(&Model::small(80, 300)) {
        let file = File::new();
        let (short, long) = (0..80usize, bytes.len() - 80..bytes.len());
        let between = (1..60).map(|i| bytes.len() * i / 60);
        for length in short.chain(between).chain(long) {
            file.write(&bytes[..length]);
            let message = match file.load() {
                Ok(_) => panic!("{format} of {length} bytes was taken"),
                Err(e) => e.to_string(),
            };
            assert!(
                message.contains("weights") && message.contains(';'),
                "{message}"
            );
        }
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_in_every_format() {
    let mut model = Model::small(80, 51865);
    for tensor in &mut model.tensors {
        tensor.values.fill(f32::NAN);
    }
    for (format, bytes) in every_format(&model) {
        println!("{format}");
        File::of(&bytes).refused(&["no numbers"]);
    }
}

#[test]
fn a_vocabulary_that_is_not_openais_is_told_in_every_format() {
    for (_, bytes) in every_format(&Model::small(80, 300)) {
        File::of(&bytes).refused(&["300", "51865", "tokenizer.json"]);
    }
}

#[test]
fn weights_of_something_else_lack_what_a_whisper_has() {
    let model = Model::small(80, 300);
    let mut other = model.clone();
    for tensor in &mut other.tensors {
        tensor.name = tensor
            .name
            .replace("encoder.embed_positions", "encoder.places");
    }
    for (_, bytes) in every_format(&other) {
        File::of(&bytes).refused(&["lack the tensor encoder.embed_positions.weight"]);
    }
    let mut wide = model.clone();
    wide.heads = 7;
    let file = File::new();
    formats::write_pt(&file.path, &wide, Stored::Half, false);
    file.refused(&["7", "does not divide"]);
    let mut flat = model;
    flat.tensors
        .iter_mut()
        .find(|t| t.name == "encoder.conv1.weight")
        .unwrap()
        .shape = vec![64, 240];
    formats::write_safetensors(&file.path, &flat);
    file.refused(&["encoder.conv1.weight", "[64, 240]"]);
}

/// An archive whose pickle is this.
fn pickled(pickle: &[u8]) -> File {
    let mut torch = Torch::new();
    torch.pickle.extend(pickle);
    File::of(&torch.archive())
}

#[test]
fn a_pickle_that_names_a_program_is_refused_by_name_and_not_run() {
    let marker = std::env::temp_dir().join(format!("whisperstream-pickle-{}", std::process::id()));
    let command = format!("touch {}", marker.display());
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("subprocess", "Popen"),
    ] {
        let mut torch = Torch::new();
        torch.pickle.extend(format!("c{module}\n{name}\n(").bytes());
        torch.text(&command);
        torch.pickle.extend(b"tR.");
        File::of(&torch.archive()).refused(&[&format!("{module}.{name}"), "trust"]);
    }
    assert!(!marker.exists(), "a pickle was run");
    // Among weights, too.
    let mut torch = Torch::new();
    torch.pickle.extend(b"}(");
    torch.text("encoder.conv1.weight");
    torch
        .pickle
        .extend(b"cnumpy.core.multiarray\n_reconstruct\n)Ru.");
    File::of(&torch.archive()).refused(&["numpy.core.multiarray._reconstruct"]);
}

#[test]
fn a_pickle_bomb_is_refused() {
    frugally(|| {
        let mut deep = b")".to_vec();
        deep.extend(std::iter::repeat_n(0x85, 3_000_000));
        deep.push(b'.');
        pickled(&deep).refused(&["more than"]);

        let mut memo = b"N".to_vec();
        for place in 0..3_000_000u32 {
            memo.push(b'r');
            memo.extend(place.to_le_bytes());
        }
        pickled(&memo).refused(&["more than"]);

        // Each list holds the one before ten times: 10^100 values, were it ever walked.
        let mut laughs = b"]q\x00".to_vec();
        for level in 0..100u8 {
            laughs.extend(b"](");
            for _ in 0..10 {
                laughs.extend([b'h', level]);
            }
            laughs.extend([b'e', b'q', level + 1]);
        }
        laughs.push(b'.');
        pickled(&laughs).refused(&["no tensors"]);

        pickled(&b"(".repeat(3_000_000)).refused(&["more than"]);
        pickled(b"X\xff\xff\xff\x7fa.").refused(&["ends early"]);
        pickled(b"\x8a\xff.").refused(&["ends early"]);
        pickled(b"0.").refused(&["not there"]);
        pickled(b".").refused(&["not there"]);
        pickled(b"\xff").refused(&["0xff"]);
    });
}

/// A state dict with one tensor of this shape, these strides and this offset on a storage of eight values.
fn claims(shape: &[i64], strides: &[i64], offset: i64, values: i64) -> File {
    let mut pickle = b"}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu".to_vec();
    let number = |pickle: &mut Vec<u8>, number: i64| {
        pickle.extend([0x8a, 8]);
        pickle.extend(number.to_le_bytes());
    };
    let numbers = |pickle: &mut Vec<u8>, numbers: &[i64]| {
        pickle.push(b'(');
        for &value in numbers {
            number(pickle, value);
        }
        pickle.push(b't');
    };
    number(&mut pickle, values);
    pickle.extend(b"tQ");
    number(&mut pickle, offset);
    numbers(&mut pickle, shape);
    numbers(&mut pickle, strides);
    pickle.extend(b"\x89NtRs.");
    let mut torch = Torch::new();
    let mut whole = Torch::new();
    whole.tensor(&[8], &[1], &[0.0; 8], Stored::Float);
    torch.pickle.extend(pickle);
    whole.pickle = torch.pickle;
    File::of(&whole.archive())
}

#[test]
fn tensors_that_claim_more_than_their_storage_are_refused() {
    frugally(|| {
        let max = i64::MAX;
        for (shape, strides, offset, values) in [
            (&[9][..], &[1][..], 0, 8),
            (&[8], &[1], 1, 8),
            (&[8], &[2], 0, 8),
            (&[9], &[1], 0, max),
            (&[1 << 40], &[0], 0, 8),
            (&[max, max], &[1, 1], 0, max),
            (&[1 << 30, 1 << 30], &[0, 0], 0, 8),
            (&[2, 2], &[max, max], max, max),
            (&[8], &[1, 1], 0, 8),
            (&[-8], &[1], 0, 8),
            (&[8], &[-1], 7, 8),
            (&[1; 9], &[1; 9], 0, 8),
        ] {
            claims(shape, strides, offset, values).refused(&["damaged"]);
        }
        // A good one is read, and is no Whisper.
        claims(&[2, 4], &[4, 1], 0, 8).refused(&["lack the tensor"]);
    });
}

#[test]
fn an_archive_that_lies_is_refused() {
    let good = formats::state_dict(&[("w", &[2], &[1.0, 2.0])]);
    let places = |needle: &[u8]| {
        let found = good.windows(needle.len()).enumerate();
        found
            .filter(|(_, window)| *window == needle)
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    let (local, central) = (places(b"PK\x03\x04"), places(b"PK\x01\x02"));
    assert_eq!(local.len(), central.len());

    // Deflated, as a zip bomb is.
    let mut deflated = good.clone();
    for &at in &local {
        deflated[at + 8] = 8;
    }
    for &at in &central {
        deflated[at + 10] = 8;
    }
    File::of(&deflated).refused(&["compressed"]);

    frugally(|| {
        // Four gigabytes in a file of some hundred bytes.
        let mut vast = good.clone();
        for &at in &central {
            vast[at + 20..at + 28].fill(0xfe);
        }
        File::of(&vast).refused(&["damaged"]);
        let mut elsewhere = good.clone();
        for &at in &central {
            elsewhere[at + 42..at + 46].fill(0xfe);
        }
        File::of(&elsewhere).refused(&["damaged"]);
    });

    let mut nameless = good.clone();
    for at in places(b"data.pkl") {
        nameless[at] = b'x';
    }
    File::of(&nameless).refused(&["data.pkl"]);
    let mut big = good.clone();
    for at in places(b"little") {
        big[at..at + 6].copy_from_slice(b"bigger");
    }
    // Not exactly "big": nothing is known of it, and it is read as usual.
    File::of(&big).refused(&["lack the tensor"]);
}

#[test]
fn what_an_old_pytorch_wrote_is_told_how_to_mend() {
    let mut legacy = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    legacy.extend([0; 100]);
    File::of(&legacy).refused(&["before 1.6", "save it again"]);
}

/// The bytes of a header: four of magic, then numbers.
fn header(magic: &[u8], numbers: &[u32]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    bytes
}

#[test]
fn a_ggml_header_that_claims_the_world_is_refused() {
    frugally(|| {
        let magic = 0x6767_6d6c_u32.to_le_bytes();
        let huge = i32::MAX as u32;
        let sane = [51865, 1500, 64, 1, 1, 448, 64, 1, 1, 80, 1];
        let with = |more: &[u32]| {
            let mut bytes = header(&magic, &sane);
            bytes.extend(header(&[], more));
            File::of(&bytes)
        };
        File::of(&header(&magic, &[huge; 40])).refused(&["damaged"]);
        File::of(&header(&magic, &[u32::MAX; 40])).refused(&["-1"]);
        with(&[huge, huge]).refused(&["damaged"]);
        with(&[0, 0, huge, huge]).refused(&["ends early"]);
        with(&[0, 0, 0, 4, 1, 0, huge, huge, huge, huge, 0x61]).refused(&["beyond all memory"]);
        with(&[0, 0, 0, 3, 1, 0, huge, huge, 1, 0x61]).refused(&["damaged"]);
        with(&[0, 0, 0, 5, 1, 0, 1, 1, 1, 1, 1]).refused(&["5 axes"]);
        with(&[0, 0, 0, 1, huge, 0, 1]).refused(&["name"]);
        with(&[0, 0, 0, 1, 4, 99, 1, 0x61616161, 0]).refused(&["type 99"]);
        // A row of 33 makes no block of 32.
        with(&[0, 0, 0, 1, 4, 8, 33, 0x61616161, 0]).refused(&["blocks"]);
    });
}

#[test]
fn a_ggml_file_with_blocks_of_the_old_layout_is_told() {
    let mut bytes = formats::ggml(&Model::small(80, 300), GgmlDType::Q8_0);
    // The last number of the header: 2007.
    bytes[4 + 40..4 + 44].copy_from_slice(&1007u32.to_le_bytes());
    File::of(&bytes).refused(&["quantise the model again"]);
}

#[test]
fn a_gguf_header_that_claims_the_world_is_refused() {
    let long = |value: u64| [value as u32, (value >> 32) as u32];
    let file = |numbers: &[&[u32]]| File::of(&header(b"GGUF", &numbers.concat()));
    let (none, one, huge) = (long(0), long(1), long(u64::MAX));
    frugally(|| {
        file(&[&[3], &huge, &none]).refused(&["ends early"]);
        file(&[&[3], &none, &huge]).refused(&["ends early"]);
        file(&[&[3], &none, &one, &huge]).refused(&["name"]);
        file(&[&[4], &none, &none]).refused(&["version is 4", "again"]);
        file(&[&[3u32.swap_bytes()], &none, &none]).refused(&["big-endian"]);
        // Lists within lists, and one without end.
        let mut nested = header(b"GGUF", &[&[3][..], &none, &one, &one].concat());
        nested.push(b'a');
        for _ in 0..1000 {
            nested.extend(header(&[], &[9, 9, 1, 0]));
        }
        File::of(&nested).refused(&["damaged"]);
        let mut endless = header(b"GGUF", &[&[3][..], &none, &one, &one].concat());
        endless.push(b'a');
        endless.extend(header(&[], &[9, 8]));
        endless.extend(u64::MAX.to_le_bytes());
        File::of(&endless).refused(&["ends early"]);
        for alignment in [0u32, 3, 33] {
            let mut bytes = header(b"GGUF", &[&[3][..], &none, &one, &long(17)].concat());
            bytes.extend(b"general.alignment");
            bytes.extend(header(&[], &[4, alignment]));
            File::of(&bytes).refused(&["alignment"]);
        }
        let tensor = |axes: &[u64], kind: u32, offset: u64| {
            let mut bytes = header(b"GGUF", &[&[3][..], &one, &none, &one].concat());
            bytes.push(b'a');
            bytes.extend((axes.len() as u32).to_le_bytes());
            bytes.extend(axes.iter().flat_map(|a| a.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            bytes.extend([0; 256]);
            File::of(&bytes)
        };
        tensor(&[u64::MAX, u64::MAX], 0, 0).refused(&["beyond all memory"]);
        tensor(&[1 << 40], 0, 0).refused(&["ends before"]);
        tensor(&[8], 0, u64::MAX - 4).refused(&["ends before"]);
        tensor(&[1, 1, 1, 1, 1], 0, 0).refused(&["5 axes"]);
        tensor(&[33], 8, 0).refused(&["blocks"]);
        tensor(&[32], 9, 0).refused(&["type 9"]);
    });
}

#[test]
fn a_safetensors_header_that_claims_the_world_is_refused() {
    let file = |json: &str, data: usize| {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.bytes());
        bytes.extend(vec![0; data]);
        File::of(&bytes)
    };
    frugally(|| {
        for json in [
            r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551615,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#,
            r#"{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}"#,
            r#"{"a":1}"#,
            "{",
        ] {
            file(json, 8).refused(&["damaged"]);
        }
    });
}

#[test]
fn blocks_with_a_scale_that_is_no_number_are_refused() {
    let model = Model::small(80, 51865);
    let mut bytes = formats::ggml(&model, GgmlDType::Q8_0);
    let name = b"decoder.token_embedding.weight";
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap()
        + name.len();
    bytes[at..at + 2].copy_from_slice(&f16::INFINITY.to_le_bytes());
    File::of(&bytes).refused(&["no numbers"]);
}

#[test]
fn pipes_and_devices_are_refused_before_they_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("config.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for path in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
        let path = path.to_owned();
        let (done, refused) = std::sync::mpsc::channel();
        // A thread, since a pipe that was opened would wait for ever.
        std::thread::spawn(move || {
            let source = ModelSource::Path(path);
            let cancel = Cancel::default();
            let loaded = Whisper::load(&source, Backend::default(), &cancel, &mut |_| {});
            done.send(loaded.err().unwrap().to_string()).unwrap();
        });
        let message = refused.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(
            message.contains("no regular file") && message.contains(';'),
            "{message}"
        );
    }
}
