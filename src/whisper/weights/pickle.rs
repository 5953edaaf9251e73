//! Python's pickle, as far as weights need it: plain data and descriptions of tensors. Nothing is ever run: what a pickle
//! may name is the list in [`Global::named`], and each of those is data here.
//!
//! Every value lies in one arena and refers to others by number. So no nesting is too deep, and the memory is a small
//! multiple of the pickle's own length, whatever it says.

use std::collections::HashMap;

use super::cursor::{Cursor, Numbers};
use super::entry::Dtype;
use super::flaw::Flaw;

/// Longest pickle: `large-v3`'s is 300 kB, one with an optimiser's state some MB.
const LONGEST: usize = 64 << 20;
/// Most values, stack places and memo places.
const MOST: usize = 1 << 21;

/// Refuses a pickle of this length before it is read.
pub fn bearable(length: usize) -> Result<(), Flaw> {
    if length <= LONGEST {
        return Ok(());
    }
    Err(format!("its index is {length} bytes long, {LONGEST} at most are read").into())
}

/// A value by its place in the arena.
pub type Id = u32;

/// What a pickle can say here.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Tensor<'a>),
}

/// What may be named.
#[derive(Clone, Debug, PartialEq)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Storage(Dtype),
}

impl Global {
    /// The whole list.
    fn named(module: &str, name: &str) -> Option<Global> {
        let other = |name: &str| Global::Storage(Dtype::Other(name.to_owned()));
        Some(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "Size") => Global::Size,
            ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Global::Storage(Dtype::Bf16),
            ("torch", "LongStorage") => other("I64"),
            ("torch", "IntStorage") => other("I32"),
            ("torch", "ShortStorage") => other("I16"),
            ("torch", "CharStorage") => other("I8"),
            ("torch", "ByteStorage") => other("U8"),
            ("torch", "BoolStorage") => other("bool"),
            _ => return None,
        })
    }
}

/// Where values lie: the file `data/{key}` of the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage<'a> {
    pub dtype: Dtype,
    pub key: &'a str,
    /// Values in it.
    pub values: usize,
}

/// A view into a storage, in values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'a> {
    pub storage: Storage<'a>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle<'a> {
    arena: Vec<Value<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads one pickle from its first byte; what follows its end is left.
    ///
    /// # Errors
    /// [`Flaw::Forbidden`] for a name that is not on the list; [`Flaw::Damaged`] for all that is no pickle of plain data.
    pub fn read(bytes: &'a [u8]) -> Result<Pickle<'a>, Flaw> {
        bearable(bytes.len())?;
        let mut machine = Machine {
            input: Cursor::new(bytes),
            arena: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while machine.step()? {}
        let root = machine.pop()?;
        let arena = machine.arena;
        Ok(Pickle { arena, root })
    }

    pub fn root(&self) -> &Value<'a> {
        self.get(self.root)
    }

    pub fn get(&self, id: Id) -> &Value<'a> {
        self.arena.get(id as usize).unwrap_or(&Value::None)
    }

    /// What `dict` holds under `name`; of several the last.
    pub fn item(&self, dict: &Value<'a>, name: &str) -> Option<&Value<'a>> {
        let Value::Dict(items) = dict else {
            return None;
        };
        let mut items = items.iter().rev();
        let found =
            items.find(|(key, _)| matches!(self.get(*key), Value::Text(key) if *key == name));
        found.map(|&(_, value)| self.get(value))
    }

    /// The items of `dict` that have a name.
    pub fn items(&self, dict: &Value<'a>) -> impl Iterator<Item = (&'a str, &Value<'a>)> {
        let items = match dict {
            Value::Dict(items) => items.as_slice(),
            _ => &[],
        };
        items
            .iter()
            .filter_map(|&(key, value)| match self.get(key) {
                Value::Text(key) => Some((*key, self.get(value))),
                _ => None,
            })
    }
}

struct Machine<'a> {
    input: Cursor<'a>,
    arena: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack where a MARK stands.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One operation; false at the last.
    fn step(&mut self) -> Result<bool, Flaw> {
        let at = self.input.at();
        let operation = self.input.u8()?;
        match operation {
            0x80 => match self.input.u8()? {
                2..=5 => {}
                version => {
                    return Err(format!("its pickle has version {version}, 2 to 5 are read").into());
                }
            },
            // FRAME: its length is a hint for readers of streams.
            0x95 => _ = self.input.u64()?,
            b'.' => return Ok(false),
            b'(' => {
                limit(self.marks.len())?;
                self.marks.push(self.stack.len());
            }
            b'0' => _ = self.pop()?,
            b'1' => _ = self.since_mark()?,
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => self.integer(|input| input.u8().map(i64::from))?,
            b'M' => self.integer(|input| input.u16().map(i64::from))?,
            b'J' => self.integer(|input| input.i32().map(i64::from))?,
            0x8a => self.long()?,
            b'G' => {
                let bits = self.input.u64()?.swap_bytes();
                self.push(Value::Float(f64::from_bits(bits)))?;
            }
            b'X' => self.text(|input| input.u32().map(u64::from))?,
            0x8c => self.text(|input| input.u8().map(u64::from))?,
            0x8d => self.text(Cursor::u64)?,
            b'U' => self.bytes(|input| input.u8().map(u64::from))?,
            b'T' => self.bytes(|input| input.u32().map(u64::from))?,
            b'C' => self.bytes(|input| input.u8().map(u64::from))?,
            b'B' => self.bytes(|input| input.u32().map(u64::from))?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items))?;
            }
            0x85..=0x87 => {
                let count = usize::from(operation - 0x84);
                let items = self.top(count)?;
                self.push(Value::Tuple(items))?;
            }
            b']' => self.push(Value::List(Vec::new()))?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b's' => {
                let items = self.top(2)?;
                self.set(&items)?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.global(utf8(module)?, utf8(name)?)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (self.get(module), self.get(name))
                else {
                    return Err("its pickle names something by no text".into());
                };
                self.global(module, name)?;
            }
            // REDUCE and NEWOBJ: a name and its arguments.
            b'R' | 0x81 => self.call()?,
            b'b' => self.attributes()?,
            b'Q' => self.storage()?,
            b'q' => {
                let place = self.input.u8()?.into();
                self.remember(place)?;
            }
            b'r' => {
                let place = self.input.u32()?;
                self.remember(place)?;
            }
            0x94 => {
                let place = self.memo.len() as u32;
                self.remember(place)?;
            }
            b'h' => {
                let place = self.input.u8()?.into();
                self.recall(place)?;
            }
            b'j' => {
                let place = self.input.u32()?;
                self.recall(place)?;
            }
            other => {
                return Err(format!(
                    "its pickle has the operation {other:#04x} at {at}, which weights do not need"
                )
                .into());
            }
        }
        Ok(true)
    }

    fn get(&self, id: Id) -> &Value<'a> {
        self.arena.get(id as usize).unwrap_or(&Value::None)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Flaw> {
        limit(self.arena.len())?;
        let id = self.arena.len() as Id;
        self.arena.push(value);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), Flaw> {
        limit(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    /// The last value, but none from below the last mark.
    fn pop(&mut self) -> Result<Id, Flaw> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("its pickle takes a value that is not there".into());
        }
        self.stack
            .pop()
            .ok_or_else(|| "its pickle takes a value that is not there".into())
    }

    /// The last `count` values, in order.
    fn top(&mut self, count: usize) -> Result<Vec<Id>, Flaw> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        Ok(items)
    }

    /// All values above the last mark, which goes.
    fn since_mark(&mut self) -> Result<Vec<Id>, Flaw> {
        let mark = self
            .marks
            .pop()
            .ok_or("its pickle ends a list that never began")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn last(&mut self) -> Result<&mut Value<'a>, Flaw> {
        let id = self.pop()?;
        self.stack.push(id);
        let value = self.arena.get_mut(id as usize);
        value.ok_or_else(|| "its pickle takes a value that is not there".into())
    }

    fn integer(&mut self, read: impl Fn(&mut Cursor<'a>) -> Result<i64, Flaw>) -> Result<(), Flaw> {
        let value = read(&mut self.input)?;
        self.push(Value::Int(value))
    }

    /// LONG1: a little-endian two's complement of its own length.
    fn long(&mut self) -> Result<(), Flaw> {
        let length = self.input.u8()?.into();
        let bytes = self.input.take(length)?;
        if length > 8 {
            return Err("its pickle has a number beyond 64 bits".into());
        }
        let sign = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut whole = if sign { [0xff; 8] } else { [0; 8] };
        for (to, &from) in whole.iter_mut().zip(bytes) {
            *to = from;
        }
        self.push(Value::Int(i64::from_le_bytes(whole)))
    }

    fn counted(
        &mut self,
        length: impl Fn(&mut Cursor<'a>) -> Result<u64, Flaw>,
    ) -> Result<&'a [u8], Flaw> {
        let length = length(&mut self.input)?;
        self.input
            .take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self, length: impl Fn(&mut Cursor<'a>) -> Result<u64, Flaw>) -> Result<(), Flaw> {
        let text = utf8(self.counted(length)?)?;
        self.push(Value::Text(text))
    }

    fn bytes(&mut self, length: impl Fn(&mut Cursor<'a>) -> Result<u64, Flaw>) -> Result<(), Flaw> {
        let bytes = self.counted(length)?;
        self.push(Value::Bytes(bytes))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Flaw> {
        match self.last()? {
            Value::List(list) => list.extend(items),
            _ => return Err("its pickle appends to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), Flaw> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.last()? {
            Value::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err("its pickle sets items of what is no dictionary".into()),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), Flaw> {
        let Some(global) = Global::named(module, name) else {
            return Err(Flaw::Forbidden(format!("{module}.{name}")));
        };
        self.push(Value::Global(global))
    }

    fn call(&mut self) -> Result<(), Flaw> {
        let (arguments, named) = (self.pop()?, self.pop()?);
        let (Value::Global(global), Value::Tuple(arguments)) =
            (self.get(named), self.get(arguments))
        else {
            return Err("its pickle calls what has no name".into());
        };
        let first = arguments.first().copied();
        let argument = |i: usize| arguments.get(i).map(|&id| self.get(id));
        match (global, argument(0)) {
            (Global::OrderedDict, None) => self.push(Value::Dict(Vec::new())),
            (Global::RebuildTensor, Some(Value::Storage(storage))) => {
                let tensor = Tensor {
                    storage: storage.clone(),
                    offset: argument(1)
                        .and_then(count)
                        .ok_or("a tensor has no offset")?,
                    shape: self.counts(argument(2)).ok_or("a tensor has no shape")?,
                    strides: self.counts(argument(3)).ok_or("a tensor has no strides")?,
                };
                self.push(Value::Tensor(tensor))
            }
            // These are what they were given.
            (Global::RebuildParameter, Some(Value::Tensor(_)))
            | (Global::Size, Some(Value::Tuple(_))) => {
                self.push_id(first.ok_or("its pickle calls without an argument")?)
            }
            _ => Err("its pickle builds what weights do not need".into()),
        }
    }

    fn counts(&self, tuple: Option<&Value<'a>>) -> Option<Vec<usize>> {
        let Some(Value::Tuple(items)) = tuple else {
            return None;
        };
        // Tensors have eight axes at the very most; a longer tuple would be copied for each.
        let items = Some(items).filter(|items| items.len() <= 8)?;
        items.iter().map(|&id| count(self.get(id))).collect()
    }

    /// BUILD: attributes of an object. Those that torch sets on a state dict (`_metadata`) say nothing of weights.
    fn attributes(&mut self) -> Result<(), Flaw> {
        self.pop()?;
        match self.last()? {
            Value::Dict(_) => Ok(()),
            _ => Err("its pickle gives attributes to what is no dictionary".into()),
        }
    }

    /// BINPERSID: torch's `("storage", type, key, place, values)`.
    fn storage(&mut self) -> Result<(), Flaw> {
        let id = self.pop()?;
        let items = match self.get(id) {
            Value::Tuple(items) => items.as_slice(),
            _ => &[],
        };
        let [kind, dtype, key, _, values, ..] = items else {
            return Err("its pickle refers to no storage".into());
        };
        let (Value::Text("storage"), Value::Global(Global::Storage(dtype)), Value::Text(key)) =
            (self.get(*kind), self.get(*dtype), self.get(*key))
        else {
            return Err("its pickle refers to no storage".into());
        };
        let values = count(self.get(*values)).ok_or("a storage has no length")?;
        let (dtype, key) = (dtype.clone(), *key);
        self.push(Value::Storage(Storage { dtype, key, values }))
    }

    fn remember(&mut self, place: u32) -> Result<(), Flaw> {
        limit(self.memo.len())?;
        let id = self.pop()?;
        self.memo.insert(place, id);
        self.push_id(id)
    }

    fn recall(&mut self, place: u32) -> Result<(), Flaw> {
        let id = self.memo.get(&place).copied();
        self.push_id(id.ok_or("its pickle recalls what it never kept")?)
    }
}

fn limit(length: usize) -> Result<(), Flaw> {
    if length < MOST {
        Ok(())
    } else {
        Err(format!("its pickle holds more than {MOST} values").into())
    }
}

fn count(value: &Value) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|_| "its pickle has text that is no UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 1, "b": (2.5, None, True)}`, protocol 2.
    const PLAIN: &[u8] =
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bG@\x04\x00\x00\x00\x00\x00\x00N\x88\x87u.";

    fn flaw(bytes: &[u8]) -> Flaw {
        Pickle::read(bytes).unwrap_err()
    }

    #[test]
    fn plain_data_is_read() {
        let pickle = Pickle::read(PLAIN).unwrap();
        assert_eq!(pickle.item(pickle.root(), "a"), Some(&Value::Int(1)));
        let Some(Value::Tuple(items)) = pickle.item(pickle.root(), "b") else {
            panic!("no tuple");
        };
        let items: Vec<_> = items.iter().map(|&id| pickle.get(id).clone()).collect();
        assert_eq!(items, [Value::Float(2.5), Value::None, Value::Bool(true)]);
    }

    #[test]
    fn every_shorter_piece_is_refused() {
        for length in 0..PLAIN.len() {
            flaw(&PLAIN[..length]);
        }
    }

    #[test]
    fn a_name_that_is_not_listed_is_refused_and_told() {
        for (pickle, name) in [
            (
                &b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..],
                "os.system",
            ),
            (b"\x80\x02c__builtin__\neval\n.", "__builtin__.eval"),
            (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
        ] {
            assert_eq!(flaw(pickle), Flaw::Forbidden(name.to_owned()));
        }
    }

    #[test]
    fn nesting_of_any_depth_costs_no_stack() {
        // A million tuples of one, each in the next, and a million marks.
        let mut deep = b"\x80\x02)".to_vec();
        deep.extend(std::iter::repeat_n(0x85, 1_000_000));
        deep.push(b'.');
        Pickle::read(&deep).unwrap();
        let mut marks = b"\x80\x02".to_vec();
        marks.extend(std::iter::repeat_n(b'(', 1_000_000));
        flaw(&marks);
    }

    #[test]
    fn a_pickle_that_grows_without_end_is_refused() {
        let count = MOST + 1;
        let mut values = b"\x80\x02".to_vec();
        values.extend(std::iter::repeat_n(b'N', count));
        let mut recalled = b"\x80\x02Nq\x00".to_vec();
        recalled.extend(b"h\x00".repeat(count));
        let mut kept = b"\x80\x02N".to_vec();
        for place in 0..count as u32 {
            kept.push(b'r');
            kept.extend(place.to_le_bytes());
        }
        for pickle in [values, recalled, kept] {
            let Flaw::Damaged(reason) = flaw(&pickle) else {
                panic!("not damaged");
            };
            assert!(reason.contains("more than"), "{reason}");
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_refused_before_anything_is_allocated() {
        flaw(b"\x80\x02X\xff\xff\xff\xffa.");
        flaw(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.");
        flaw(b"\x80\x02\x8a\xffa.");
    }
}
