//! The conversation on stdout: for people, or as JSON lines.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::dtmf::Digit;
use super::leg::Count;
use crate::call::Event;

/// Prints what calls tell. Clones print to the same place.
#[derive(Clone)]
pub struct Printer {
    json: bool,
    /// Which call, where there may be several.
    call: Option<String>,
    to: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl Printer {
    pub fn new(json: bool, to: Box<dyn Write + Send>) -> Printer {
        Printer {
            json,
            call: None,
            to: Arc::new(Mutex::new(to)),
        }
    }

    pub fn stdout(json: bool) -> Printer {
        Printer::new(json, Box::new(std::io::stdout()))
    }

    /// For one call of several.
    pub fn of_call(&self, call: &str) -> Printer {
        Printer {
            call: Some(call.to_owned()),
            ..self.clone()
        }
    }

    /// A line; whoever reads may be gone, which harms no call.
    fn line(&self, line: &str) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(to, "{line}").and_then(|()| to.flush());
    }

    fn json(&self, told: impl Serialize) {
        // Some events are for doors only, and are no JSON.
        let Ok(Value::Object(mut told)) = serde_json::to_value(told) else {
            return;
        };
        if let Some(call) = &self.call {
            told.insert("call".into(), Value::from(call.as_str()));
        }
        self.line(&Value::Object(told).to_string());
    }

    fn text(&self, start: Duration, end: Option<Duration>, leg: Option<&str>, text: &str) {
        let call = self.call.as_ref();
        let call = call.map(|call| format!("[{}] ", call.chars().take(12).collect::<String>()));
        let end = match end {
            Some(end) => format!("- {:8.2}", end.as_secs_f64()),
            None => " ".repeat(10),
        };
        let leg = leg.map(|leg| format!("{leg}: ")).unwrap_or_default();
        self.line(&format!(
            "{}{:8.2} {end}  {leg}{text}",
            call.unwrap_or_default(),
            start.as_secs_f64()
        ));
    }

    pub fn event(&self, event: &Event) {
        if self.json {
            return self.json(event);
        }
        match event {
            Event::Final(words) => {
                let leg = words.span.leg.as_deref();
                let text = words.text.trim();
                self.text(words.span.start, Some(words.span.end), leg, text);
            }
            Event::Dropped(span) => {
                let leg = span.leg.as_deref();
                self.text(
                    span.start,
                    Some(span.end),
                    leg,
                    "(not heard: the machine has too much to do)",
                );
            }
            Event::Failed { reason } => tracing::error!("the call failed: {reason}"),
            _ => {}
        }
    }

    pub fn digit(&self, leg: &str, digit: &Digit) {
        #[derive(Serialize)]
        struct Told<'a> {
            r#type: &'static str,
            leg: &'a str,
            #[serde(flatten)]
            digit: &'a Digit,
        }
        match self.json {
            true => self.json(Told {
                r#type: "digit",
                leg,
                digit,
            }),
            false => {
                let text = format!("[{}]", digit.digit);
                self.text(digit.start, Some(digit.end), Some(leg), &text);
            }
        }
    }

    pub fn stopped(&self, leg: &str, at: Duration) {
        match self.json {
            true => self.json(json!({"type": "stopped", "leg": leg, "start": round(at)})),
            false => self.text(at, None, Some(leg), "(sends nothing)"),
        }
    }

    pub fn resumed(&self, leg: &str, at: Duration) {
        match self.json {
            true => self.json(json!({"type": "resumed", "leg": leg, "start": round(at)})),
            false => self.text(at, None, Some(leg), "(sends again)"),
        }
    }

    pub fn held(&self, leg: &str, held: bool, at: Duration) {
        let (kind, text) = match held {
            true => ("held", "(on hold)"),
            false => ("unheld", "(not on hold any more)"),
        };
        match self.json {
            true => self.json(json!({"type": kind, "leg": leg, "start": round(at)})),
            false => self.text(at, None, Some(leg), text),
        }
    }

    /// What happened to the call as such, on the log for people and as a line for programs.
    pub fn note(&self, text: &str) {
        match self.json {
            true => self.json(json!({"type": "note", "text": text})),
            false => tracing::info!(call = self.call, "{text}"),
        }
    }

    /// What was counted on a leg, at the end.
    pub fn count(&self, leg: &str, count: &Count) {
        #[derive(Serialize)]
        struct Told<'a> {
            r#type: &'static str,
            leg: &'a str,
            #[serde(flatten)]
            count: &'a Count,
        }
        match self.json {
            true => self.json(Told {
                r#type: "leg",
                leg,
                count,
            }),
            false => tracing::info!(call = self.call, leg, ?count, "the leg is over"),
        }
    }

    /// Something of a call in JSON alone.
    pub fn fact(&self, fact: Value) {
        if self.json {
            self.json(fact);
        }
    }
}

fn round(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
