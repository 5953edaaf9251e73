// SPDX-License-Identifier: MPL-2.0

//! Where the text goes: standard output or a file, written as it is decided.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;
use crate::progress::Progress;

/// Written to by the streaming thread, closed by the main thread.
#[derive(Clone)]
pub struct Output(Arc<Mutex<Inner>>);

struct Inner {
    name: String,
    sink: Box<dyn Write + Send>,
    /// The first write that failed; nothing is written after it.
    fault: Option<io::Error>,
    progress: Progress,
}

impl Output {
    /// Opens `path`, or standard output.
    pub fn open(path: Option<&Path>, progress: Progress) -> Result<Output, Failure> {
        let (name, sink): (String, Box<dyn Write + Send>) = match path {
            None => ("standard output".into(), Box::new(io::stdout())),
            Some(path) => {
                let file = File::create(path).map_err(|err| Failure::Output {
                    name: path.display().to_string(),
                    err,
                })?;
                (path.display().to_string(), Box::new(file))
            }
        };
        Ok(Output(Arc::new(Mutex::new(Inner {
            name,
            sink,
            fault: None,
            progress,
        }))))
    }

    /// Writes and flushes, so that a reader at the other end of a pipe follows the speech. False once a write failed.
    pub fn write(&self, bytes: &[u8]) -> bool {
        let mut inner = self.lock();
        if inner.fault.is_none() {
            let Inner { sink, progress, .. } = &mut *inner;
            let written = progress.aside(|| sink.write_all(bytes).and_then(|()| sink.flush()));
            inner.fault = written.err();
        }
        inner.fault.is_none()
    }

    /// Whether writing ended because nobody reads any more.
    pub fn reader_left(&self) -> bool {
        matches!(&self.lock().fault, Some(err) if err.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Reports a write that failed.
    pub fn close(&self) -> Result<(), Failure> {
        let mut inner = self.lock();
        match inner.fault.take() {
            None => Ok(()),
            Some(err) => Err(Failure::Output {
                name: inner.name.clone(),
                err,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
