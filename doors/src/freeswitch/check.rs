//! `--test-connection`: what is there and what is missing.

use std::path::Path;

use super::link::{Address, Link};
use super::{Failure, Options, Paper};

/// Says it, line by line. It fails if something is missing without which no call is heard.
pub async fn connection(options: &Options, paper: &Paper) -> Result<(), Failure> {
    let link = Link::open(Address::of(options)).await?;
    paper.line(format!(
        "ok       FreeSWITCH at {} lets us in",
        link.address()
    ));
    let first = |reply: String| reply.lines().next().unwrap_or_default().trim().to_owned();
    match link.api("version").await {
        Ok(version) => paper.line(format!("ok       {}", first(version))),
        Err(err) => paper.line(format!("unknown  its version: {err}")),
    }
    for line in link.api("status").await?.lines().take(6) {
        paper.line(format!("         {}", line.trim()));
    }
    let mut missing = Vec::new();
    let modules = [
        ("mod_commands", true, "takes the commands"),
        ("mod_sndfile", true, "writes the recordings"),
        (
            "mod_audio_stream",
            false,
            "only to stream calls to a whisperstream-server",
        ),
    ];
    for (module, is_needed, why) in modules {
        let found = link.api(&format!("module_exists {module}")).await;
        let is_there = matches!(found.as_deref(), Ok("true"));
        let word = match (is_there, is_needed) {
            (true, _) => "ok      ",
            (false, true) => "MISSING ",
            (false, false) => "absent  ",
        };
        paper.line(format!("{word} {module}: {why}"));
        if !is_there && is_needed {
            missing.push(format!("load {module} there (`load {module}` in fs_cli)"));
        }
    }
    if let Err(err) = writable(&options.record_dir) {
        let dir = options.record_dir.display();
        paper.line(format!(
            "MISSING  {dir}, the folder of the recordings: {err}"
        ));
        missing.push(format!(
            "make {dir} a folder that FreeSWITCH and this program may write, or choose another by --record-dir"
        ));
    } else {
        let dir = options.record_dir.display();
        paper.line(format!(
            "ok       {dir} can be written from here; whether FreeSWITCH writes there, --test tells"
        ));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::Test(format!(
            "something is missing: {}",
            missing.join("; ")
        ))),
    }
}

fn writable(dir: &Path) -> std::io::Result<()> {
    let probe = dir.join(format!(".whisperstream-{}", std::process::id()));
    std::fs::File::create(&probe)?;
    std::fs::remove_file(probe)
}
