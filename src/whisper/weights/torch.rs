//! What `torch.save` writes since PyTorch 1.6: a zip archive of a pickle, `data.pkl`, that describes tensors, and a file
//! for each storage. OpenAI's `.pt`, `pytorch_model.bin` and other checkpoints.

use std::collections::HashMap;
use std::io::BufReader;
use std::ops::Range;

use super::entry::{Entry, elements};
use super::flaw::Flaw;
use super::pickle::{self, Pickle, Tensor, Value};
use super::shard::Shard;

/// Most files of an archive; `large-v3` has 1,265.
const MOST_FILES: usize = 1 << 16;
/// What the file `byteorder` says on a big-endian machine.
const BIG: &[u8] = b"big";
/// Where checkpoints keep the weights among other things.
const INNER: [&str; 4] = ["model_state_dict", "state_dict", "model", "module"];

/// What a checkpoint holds.
#[derive(Debug)]
pub struct Saved {
    /// Tensors by the names they have in the file.
    pub tensors: Vec<(String, Entry)>,
    /// The numbers under `dims`, where OpenAI writes the model's shape.
    pub dims: HashMap<String, usize>,
}

/// Reads an archive.
///
/// # Errors
/// What is wrong with it; [`Flaw::Forbidden`] where it names what could run a program.
pub fn read(file: &Shard) -> Result<Saved, Flaw> {
    let files = files(file)?;
    let index = files
        .keys()
        .filter(|name| name.as_str() == "data.pkl" || name.ends_with("/data.pkl"));
    let Some(index) = index.min_by_key(|name| name.len()) else {
        return Err(Flaw::Unread(
            "it is a zip archive, but holds no data.pkl; give a file that torch.save wrote"
                .to_owned(),
        ));
    };
    let folder = index.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = files.get(&format!("{folder}byteorder"))
        && order.len() == BIG.len()
        && file.read(order.clone())? == BIG
    {
        return Err(Flaw::Unread(
            "it was saved on a big-endian machine; load and save it on a little-endian one"
                .to_owned(),
        ));
    }
    let pickled = files.get(index).ok_or("its data.pkl is not there")?;
    pickle::bearable(pickled.len())?;
    let pickled = file.read(pickled.clone())?;
    saved(&pickled, |key| {
        files.get(&format!("{folder}data/{key}")).cloned()
    })
}

/// What a pickle describes; `storage` finds the file of a storage.
pub fn saved(
    pickled: &[u8],
    storage: impl Fn(&str) -> Option<Range<usize>>,
) -> Result<Saved, Flaw> {
    let pickle = Pickle::read(pickled)?;
    let root = pickle.root();
    let inner = INNER.iter().find_map(|name| pickle.item(root, name));
    let inner = inner.filter(|inner| matches!(inner, Value::Dict(_)));

    let mut tensors = Vec::new();
    for (name, value) in pickle.items(inner.unwrap_or(root)) {
        if let Value::Tensor(tensor) = value {
            let file = storage(tensor.storage.key);
            let file = file.ok_or_else(|| format!("the storage of {name} is not there"))?;
            let entry = entry(tensor, &file);
            let entry = entry.map_err(|reason| format!("{name} {reason}"))?;
            tensors.push((name.to_owned(), entry));
        }
    }
    if tensors.is_empty() {
        return Err(Flaw::Unread(
            "it holds no tensors by name; give the file of a model's state dict".to_owned(),
        ));
    }
    let dims = pickle.item(root, "dims").map(|dims| pickle.items(dims));
    let dims = dims
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| match value {
            Value::Int(value) => Some((name.to_owned(), usize::try_from(*value).ok()?)),
            _ => None,
        });
    let dims = dims.collect();
    Ok(Saved { tensors, dims })
}

/// Where each file of the archive lies. torch compresses none, so nothing is unpacked.
fn files(file: &Shard) -> Result<HashMap<String, Range<usize>>, Flaw> {
    let broken =
        |e: zip::result::ZipError| Flaw::Damaged(format!("its archive cannot be read ({e})"));
    let mut archive = zip::ZipArchive::new(BufReader::new(file.reader())).map_err(broken)?;
    let count = archive.len();
    if count > MOST_FILES {
        return Err(
            format!("its archive holds {count} files, {MOST_FILES} at most are read").into(),
        );
    }
    let mut files = HashMap::with_capacity(count);
    for number in 0..count {
        let entry = archive.by_index_raw(number).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        if entry.compression() != zip::CompressionMethod::Stored || entry.encrypted() {
            return Err(Flaw::Unread(format!(
                "{name} is compressed within it, which torch.save never does; save the model again"
            )));
        }
        let start = entry
            .data_start()
            .and_then(|start| usize::try_from(start).ok());
        let size = usize::try_from(entry.size()).ok();
        let range = start
            .zip(size)
            .and_then(|(start, size)| Some(start..start.checked_add(size)?));
        let Some(range) = range.filter(|range| range.end <= file.len()) else {
            return Err(format!("{name} reaches behind its end").into());
        };
        files.insert(name, range);
    }
    Ok(files)
}

/// Where a tensor lies within its storage's file.
fn entry(tensor: &Tensor, file: &Range<usize>) -> Result<Entry, String> {
    let Tensor {
        storage,
        offset,
        shape,
        strides,
    } = tensor;
    let (offset, dtype) = (*offset, storage.dtype.clone());
    let Ok(width) = dtype.bytes(&[1]) else {
        // Integers: a counter, a table. Whoever asks for its values is told.
        return Ok(Entry {
            dtype,
            shape: shape.clone(),
            range: file.clone(),
            strides: None,
        });
    };
    if shape.len() != strides.len() {
        return Err("has another number of strides than of axes".to_owned());
    }
    let count = elements(shape).ok_or("has a shape beyond all memory")?;
    let steps = shape.iter().zip(strides);
    let last = steps
        .filter(|_| count > 0)
        .try_fold(0usize, |last, (&size, &stride)| {
            last.checked_add(size.checked_sub(1)?.checked_mul(stride)?)
        });
    let reach = last.and_then(|last| offset.checked_add(last)?.checked_add(count.min(1)));
    let range = reach
        .filter(|&reach| reach <= storage.values)
        .and_then(|reach| {
            let start = file.start.checked_add(offset.checked_mul(width)?)?;
            let end = file.start.checked_add(reach.checked_mul(width)?)?;
            (start <= end && end <= file.end).then_some(start..end)
        });
    let range = range.ok_or("reaches behind its storage")?;
    let in_rows = lies_in_rows(shape, strides);
    if !in_rows && count > range.len() / width {
        return Err("uses stored values more than once".to_owned());
    }
    Ok(Entry {
        dtype,
        shape: shape.clone(),
        range,
        strides: (!in_rows).then(|| strides.clone()),
    })
}

/// Whether the values lie row by row without holes.
fn lies_in_rows(shape: &[usize], strides: &[usize]) -> bool {
    let mut due = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size <= 1 || stride == due;
        due *= size;
        fits
    })
}
