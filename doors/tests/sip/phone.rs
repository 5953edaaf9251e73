//! A real phone: baresip of Debian.

use std::path::Path;
use std::process::{Command, Stdio};

use gst::prelude::*;

use crate::{Tap, assert_near, audio, free_port};

/// A WAV file of tests/audio at 8 kHz: what baresip's `aufile` plays.
fn slow(name: &str, folder: &Path) -> String {
    let path = folder.join(format!("{name}.wav"));
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1,format=S16LE ! wavenc ! filesink location={}",
        audio(name).display(),
        path.display()
    ))
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = pipeline.bus().unwrap().timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_and_is_heard() {
    let tap = Tap::start(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let file = slow("fr-accueil", folder.path());
    let modules = ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"];
    let modules = modules.iter().find(|path| Path::new(path).is_dir());
    let modules = modules.expect("baresip is there: scripts/setup test installs it");
    let (local, rtp) = (free_port(), free_port());
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{local}\naudio_player aufile,/dev/null\n\
         audio_source aufile,{file}\naudio_alert aufile,/dev/null\nrtp_ports {rtp}-{}\n\
         module_path {modules}\nmodule g711.so\nmodule aufile.so\nmodule_tmp account.so\nmodule_app menu.so\n\
         net_interface 127.0.0.1\n",
        rtp + 7
    );
    std::fs::write(folder.path().join("config"), config).unwrap();
    let account = format!("<sip:paul@127.0.0.1:{local}>;regint=0;audio_codecs=PCMA\n");
    std::fs::write(folder.path().join("accounts"), account).unwrap();
    std::fs::write(folder.path().join("contacts"), "").unwrap();
    let dial = format!("/dial sip:tap@127.0.0.1:{}", tap.port);
    let place = folder.path().to_owned();
    let phone = tokio::task::spawn_blocking(move || {
        Command::new("baresip")
            .arg("-f")
            .arg(place)
            .args(["-t", "30", "-e", &dial])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    });
    // The phone hangs up where its file ends.
    tap.over(1).await;
    let output = phone.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Call established"), "{said}");
    assert_eq!(tap.of_type("call")[0]["legs"][0], "paul");
    assert_near(tap.when("bonjour"), 0.45);
    assert_near(tap.when("bonne"), 8.0);
    tap.stop().await;
}
