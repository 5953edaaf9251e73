//! Hyphens and underscores.

use std::ffi::{OsStr, OsString};

/// The program's arguments, with hyphens in the names of options.
pub fn args() -> impl Iterator<Item = OsString> {
    hyphenated(std::env::args_os())
}

fn hyphenated(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut is_option = true;
    args.map(move |arg| {
        is_option &= arg != "--";
        match is_option {
            true => respell(&arg).unwrap_or(arg),
            false => arg,
        }
    })
}

fn respell(arg: &OsStr) -> Option<OsString> {
    let option = arg.to_str()?.strip_prefix("--")?;
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    // A value that happens to begin with two hyphens has spaces or the like in it.
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.chars().all(is_name) {
        return None;
    }
    let name = name.replace('_', "-");
    Some(OsString::from(match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_hyphens_and_values_stay() {
        let given = [
            "server",
            "--frame_threshold",
            "25",
            "--init_prompt=a_b",
            "--set",
            "min_chunk_size=500",
            "-l",
            "my_file",
            "--",
            "--a_b",
        ];
        let got: Vec<_> = hyphenated(given.into_iter().map(OsString::from)).collect();
        let wanted = [
            "server",
            "--frame-threshold",
            "25",
            "--init-prompt=a_b",
            "--set",
            "min_chunk_size=500",
            "-l",
            "my_file",
            "--",
            "--a_b",
        ];
        assert_eq!(got, wanted);
    }
}
