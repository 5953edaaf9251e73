//! How many digits words speak: numerals, and number words of French and English.
//!
//! The rule: each digit of a numeral counts one. A number word counts the digits that it would be written with: "six" one,
//! "douze" and "forty" two, and what makes one number with the word before no more than that number ("forty two" two,
//! "soixante dix sept" two, "quatre vingt douze" two). "Cent" and "hundred", "mille" and "thousand" count two each.

use serde::{Deserialize, Serialize};

use super::bare;
use super::fillers::is_filler;

/// Number words and what they are worth. French and English together: people mix them, and detection may be wrong.
const NUMBERS: &[(&str, u32)] = &[
    ("zéro", 0),
    ("zero", 0),
    ("zéros", 0),
    ("zeros", 0),
    ("nought", 0),
    ("un", 1),
    ("une", 1),
    ("one", 1),
    ("deux", 2),
    ("two", 2),
    ("trois", 3),
    ("three", 3),
    ("quatre", 4),
    ("four", 4),
    ("cinq", 5),
    ("five", 5),
    ("six", 6),
    ("sept", 7),
    ("seven", 7),
    ("huit", 8),
    ("eight", 8),
    ("neuf", 9),
    ("nine", 9),
    ("niner", 9),
    ("dix", 10),
    ("ten", 10),
    ("onze", 11),
    ("eleven", 11),
    ("douze", 12),
    ("twelve", 12),
    ("treize", 13),
    ("thirteen", 13),
    ("quatorze", 14),
    ("fourteen", 14),
    ("quinze", 15),
    ("fifteen", 15),
    ("seize", 16),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("vingt", 20),
    ("vingts", 20),
    ("twenty", 20),
    ("trente", 30),
    ("thirty", 30),
    ("quarante", 40),
    ("forty", 40),
    ("fourty", 40),
    ("cinquante", 50),
    ("fifty", 50),
    ("soixante", 60),
    ("sixty", 60),
    ("septante", 70),
    ("seventy", 70),
    ("huitante", 80),
    ("octante", 80),
    ("eighty", 80),
    ("nonante", 90),
    ("ninety", 90),
    ("cent", 100),
    ("cents", 100),
    ("hundred", 100),
    ("mille", 1_000),
    ("thousand", 1_000),
];

/// Zero, but only among digits.
const OH: &[&str] = &["o", "oh", "ô"];

/// What may stand among the digits of one number.
const JOINS: &[&str] = &[
    "et", "and", "point", "dot", "virgule", "comma", "tiret", "dash", "slash", "barre", "espace",
    "space", "plus", "double", "triple",
];

/// What a word is in a run of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It speaks digits.
    Digits,
    /// It may stand among them.
    Joins,
    /// A run ends before it.
    Other,
}

/// A run of digits: how many so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    digits: u32,
    /// What the last word was worth, or made with those before.
    last: Option<u32>,
}

impl Run {
    /// Takes a word in. Other words end the run.
    pub fn add(&mut self, text: &str) -> Role {
        let word = bare(text).word.to_lowercase();
        let written = word.chars().filter(|c| c.is_numeric()).count();
        if written > 0 {
            self.digits += u32::try_from(written).unwrap_or(u32::MAX).min(1_000);
            self.last = None;
            return Role::Digits;
        }
        if self.digits > 0 {
            if OH.contains(&word.as_str()) {
                self.worth(0);
                return Role::Digits;
            }
            let is_join = word.is_empty() || JOINS.contains(&word.as_str());
            if is_join
                || is_filler(text, None)
                || ["um", "uh", "er", "hum"].contains(&word.as_str())
            {
                return Role::Joins;
            }
        }
        let Some(numbers) = numbers(&word) else {
            *self = Run::default();
            return Role::Other;
        };
        for number in numbers {
            self.worth(number);
        }
        Role::Digits
    }

    /// Digits so far.
    pub fn digits(&self) -> u32 {
        self.digits
    }

    fn worth(&mut self, number: u32) {
        let (more, last) = match (self.last, number) {
            (Some(4), 20) => (1, 80),
            (Some(tens @ (20 | 30 | 40 | 50 | 60 | 70 | 80 | 90)), 1..=9) => (0, tens + number),
            (Some(tens @ (60 | 80)), 10..=16) => (0, tens + number),
            (Some(10), 7..=9) => (0, 10 + number),
            (_, 0..=9) => (1, number),
            (_, number) => (2, number),
        };
        self.digits = self.digits.saturating_add(more);
        self.last = Some(last);
    }
}

/// What the number words in a word are worth ("vingt-et-un"); `None` if it has others.
fn numbers(word: &str) -> Option<Vec<u32>> {
    let number = |part: &str| {
        let found = NUMBERS.iter().find(|(name, _)| *name == part);
        found.map(|(_, value)| *value)
    };
    let parts = word.split('-').filter(|part| !["et", "and"].contains(part));
    let numbers: Option<Vec<u32>> = parts.map(number).collect();
    numbers.filter(|numbers| !numbers.is_empty())
}

/// Whether a word of a run is a number word (or the "oh" that stands for zero).
pub fn is_digit_word(word: &str) -> bool {
    let word = word.to_lowercase();
    OH.contains(&word.as_str()) || numbers(&word).is_some()
}
