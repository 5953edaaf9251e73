//! A tap's printing, caught in memory.

#![allow(dead_code)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use doors::tap::print::Printer;
use serde_json::Value;

/// What was printed, and where it was printed to.
#[derive(Clone, Default)]
pub struct Printed(pub Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Printed {
    pub fn json(&self) -> Printer {
        Printer::new(true, Box::new(self.clone()))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub fn of_type(&self, kind: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["type"] == kind);
        lines
    }
}
