//! Times as the systems replaced have them: seconds, with a fraction.

use std::str::FromStr;

/// Seconds on a command line. None, if the value is empty: a variable that is set to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds(Option<f64>);

/// No time that is given so is longer: Whisper hears 30 s at once. A larger number was meant as milliseconds.
const MOST: f64 = 30.0;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadSeconds {
    #[error("{0:?} is no number of seconds: write 0.5 for half a second")]
    Form(String),
    #[error(
        "{0} s is no time that can be set here: it is in seconds, 0 to 30; milliseconds are given to a property, as in --set min-chunk-size=500"
    )]
    Range(f64),
}

impl FromStr for Seconds {
    type Err = BadSeconds;

    fn from_str(text: &str) -> Result<Seconds, BadSeconds> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Seconds(None));
        }
        match text.parse::<f64>() {
            Ok(seconds) if (0.0..=MOST).contains(&seconds) => Ok(Seconds(Some(seconds))),
            Ok(seconds) => Err(BadSeconds::Range(seconds)),
            Err(_) => Err(BadSeconds::Form(text.into())),
        }
    }
}

impl Seconds {
    /// As the element has it, to the nearest millisecond.
    pub fn ms(self) -> Option<u32> {
        Some((self.0? * 1000.0).round() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_milliseconds() {
        for (text, ms) in [
            ("0.5", Some(500)),
            ("1", Some(1000)),
            ("30.0", Some(30_000)),
            ("0.04", Some(40)),
            ("1e-1", Some(100)),
            ("", None),
        ] {
            assert_eq!(text.parse::<Seconds>().unwrap().ms(), ms, "{text}");
        }
    }

    #[test]
    fn milliseconds_are_not_taken_for_seconds() {
        for text in ["500", "-1", "nan", "inf"] {
            let err = text.parse::<Seconds>().unwrap_err().to_string();
            assert!(err.contains("--set min-chunk-size=500"), "{err}");
        }
        assert!(
            "half"
                .parse::<Seconds>()
                .unwrap_err()
                .to_string()
                .contains("0.5")
        );
    }
}
