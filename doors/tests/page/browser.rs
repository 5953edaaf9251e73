//! The page in a real Chromium, its microphone fed from a recording.

use std::time::Duration;

use serde_json::{Value, json};

use crate::chromium::{Chromium, Microphone};
use crate::support::*;

const FRENCH: &str = "fr-accueil.wav";

/// All that stands decided on the page.
const WORDS: &str = "[...document.querySelectorAll('.word')].map((word) => word.textContent)";
const IS_OVER: &str = "document.getElementById('record-text').textContent === 'Start'";

/// A recording with `before` seconds of silence before it and enough behind it, as Chromium takes it.
fn microphone(name: &str, folder: &std::path::Path, before: f64) -> std::path::PathBuf {
    let mut wav = hound::WavReader::open(audio(name)).unwrap();
    let file = folder.join("microphone.wav");
    let mut out = hound::WavWriter::create(&file, wav.spec()).unwrap();
    let silence = |seconds: f64| (seconds * 16_000.0) as usize;
    (0..silence(before)).for_each(|_| out.write_sample(0i16).unwrap());
    wav.samples::<i16>()
        .for_each(|sample| out.write_sample(sample.unwrap()).unwrap());
    (0..silence(120.0)).for_each(|_| out.write_sample(0i16).unwrap());
    out.finalize().unwrap();
    file
}

async fn texts(chromium: &mut Chromium) -> Vec<String> {
    let words: Vec<String> = serde_json::from_value(chromium.ask(WORDS).await).unwrap();
    words.iter().map(|word| plain(word)).collect()
}

fn is_mostly(heard: &[String], name: &str) -> bool {
    let spoken = spoken(name);
    let common = spoken
        .iter()
        .filter(|(word, ..)| heard.contains(word))
        .count();
    common * 10 >= spoken.len() * 9
}

/// The content of the file that a button downloads.
async fn download(chromium: &mut Chromium, id: &str) -> String {
    let folder = chromium.folder.path().join(id);
    std::fs::create_dir_all(&folder).unwrap();
    let allow = json!({"behavior": "allow", "downloadPath": folder});
    chromium.call("Browser.setDownloadBehavior", allow).await;
    chromium.click(id).await;
    let ending = format!(".{id}");
    let wait = async {
        loop {
            let file = std::fs::read_dir(&folder)
                .unwrap()
                .flatten()
                .map(|entry| entry.path());
            if let Some(file) = { file }.find(|file| file.to_string_lossy().ends_with(&ending)) {
                let text = std::fs::read_to_string(file).unwrap();
                if !text.is_empty() {
                    return text;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("nothing was downloaded")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_hears_shows_and_hands_over() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = microphone(FRENCH, folder.path(), 0.0);
    let mut chromium = Chromium::start(Microphone::File(&file)).await;
    chromium.look(1100, 760, "light").await;
    chromium.open(&format!("http://{}/", server.address)).await;
    assert_eq!(
        chromium
            .ask("document.getElementById('language').value")
            .await,
        "fr"
    );
    chromium.screenshot("empty-light").await;

    chromium.click("record").await;
    chromium
        .until("document.querySelectorAll('.word').length > 3")
        .await;
    chromium.until("document.querySelector('.tail')?.textContent.length > 0 || document.querySelectorAll('.word').length > 15").await;
    chromium.screenshot("live-light").await;
    chromium.look(1100, 760, "dark").await;
    chromium.screenshot("live-dark").await;
    let status = chromium
        .ask("document.getElementById('status').textContent")
        .await;
    assert_eq!(status, "Listening");
    // As the documentation shows it: words, a word's time, and what is not decided yet.
    chromium.look(900, 480, "light").await;
    let middle = "(() => { const r = document.querySelectorAll('.word')[3].getBoundingClientRect(); return [r.x + 4, r.y + 9]; })()";
    let place = chromium.ask(middle).await;
    let at = |i: usize| place[i].as_f64().unwrap();
    chromium.point(at(0), at(1)).await;
    chromium
        .until("(document.querySelectorAll('.said').length > 2 && [...document.querySelectorAll('.tail')].some((tail) => tail.textContent)) || document.querySelectorAll('.word').length >= 21")
        .await;
    chromium.screenshot("page").await;
    chromium
        .until("document.querySelectorAll('.word').length >= 20")
        .await;
    // How late it is, and how loud it was.
    let lag = chromium
        .ask("document.getElementById('lag').textContent")
        .await;
    let seconds: f64 = lag
        .as_str()
        .unwrap()
        .strip_suffix(" s behind")
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds > 0.0, "{lag}");
    chromium.click("record").await;
    chromium.until(IS_OVER).await;
    let heard = texts(&mut chromium).await;
    assert!(is_mostly(&heard, FRENCH), "{heard:?}");
    server.is_empty().await;

    // Times at a word, to the hundredth.
    let rect = "(() => { const r = document.querySelectorAll('.word')[3].getBoundingClientRect(); return [r.x + 4, r.y + 9]; })()";
    chromium.look(1100, 760, "light").await;
    let place = chromium.ask(rect).await;
    chromium
        .point(place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
        .await;
    chromium
        .until("document.querySelector('.word:hover') !== null")
        .await;
    let shown = chromium
        .ask("getComputedStyle(document.querySelector('.word:hover'), '::after').content")
        .await;
    assert!(shown.as_str().unwrap().contains(" – 0:0"), "{shown}");
    chromium.screenshot("done-light").await;
    for (name, width, height, scheme) in [
        ("done-dark", 1100, 760, "dark"),
        ("phone-light", 390, 844, "light"),
        ("phone-dark", 390, 844, "dark"),
    ] {
        chromium.look(width, height, scheme).await;
        chromium.screenshot(name).await;
        // Nothing sticks out at the side.
        assert_eq!(
            chromium
                .ask("document.documentElement.scrollWidth <= innerWidth")
                .await,
            json!(true)
        );
    }

    let vtt = download(&mut chromium, "vtt").await;
    assert!(vtt.starts_with("WEBVTT\n\n00:00:0"), "{vtt}");
    let first = chromium
        .ask("document.querySelector('.word').dataset.time")
        .await;
    let (word, cue) = (to_seconds(first.as_str().unwrap()), to_seconds(&vtt[8..]));
    assert!(
        (word - cue).abs() < 0.02,
        "{word} s on the page, {cue} s in the file"
    );
    let cued: Vec<_> = vtt
        .lines()
        .filter(|line| !line.contains("-->"))
        .skip(1)
        .collect();
    let cued: Vec<_> = cued.join(" ").split_whitespace().map(plain).collect();
    assert_eq!(cued, heard);
    let srt = download(&mut chromium, "srt").await;
    assert!(srt.starts_with("1\n00:00:0"), "{srt}");
    let txt = download(&mut chromium, "txt").await;
    let written: Vec<_> = txt.split_whitespace().map(plain).collect();
    assert_eq!(written, heard);
    assert!(chromium.complaints.is_empty(), "{:?}", chromium.complaints);
}

/// The server as a process of its own, which can be killed.
struct Process(std::process::Child);

impl Process {
    async fn start(port: u16) -> Process {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_whisperstream-server"))
            .args(["--language", "fr", "--http", &port.to_string()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(child);
        let answers = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers)
            .await
            .expect("the server does not start");
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_found_again_and_hears_what_was_said_meanwhile() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let server = Process::start(port).await;
    let folder = tempfile::tempdir().unwrap();
    let file = microphone(FRENCH, folder.path(), 10.0);
    let mut chromium = Chromium::start(Microphone::File(&file)).await;
    chromium.open(&format!("http://127.0.0.1:{port}/")).await;
    // By keyboard alone.
    chromium.ask("document.activeElement.blur()").await;
    chromium.press(" ", "Space").await;
    let is = |state: &str| format!("document.getElementById('status').dataset.state === '{state}'");
    chromium.until(&is("live")).await;
    // It dies in the silence before the first word, and stays away for the whole of the first utterance.
    drop(server);
    chromium.until(&is("lost")).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    chromium.screenshot("lost").await;
    let _server = Process::start(port).await;
    chromium.until(&is("live")).await;
    chromium
        .until("document.querySelectorAll('.word').length >= 20")
        .await;
    chromium.press(" ", "Space").await;
    chromium.until(IS_OVER).await;
    let heard = texts(&mut chromium).await;
    assert!(is_mostly(&heard, FRENCH), "{heard:?}");
    assert_eq!(
        chromium
            .ask("document.querySelectorAll('.gap').length")
            .await,
        json!(1)
    );
    // Its times go on from the first recording's start.
    let first = chromium
        .ask("document.querySelector('.word').dataset.time")
        .await;
    assert!(to_seconds(first.as_str().unwrap()) > 9.0, "{first}");
}

/// `0:01.26` or `00:00:01.260`, at the beginning of a text.
fn to_seconds(text: &str) -> f64 {
    let time = text.split(' ').next().unwrap();
    time.split(':')
        .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_go_where_there_is_no_recorder() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let file = microphone(FRENCH, folder.path(), 0.0);
    let mut chromium = Chromium::start(Microphone::File(&file)).await;
    chromium
        .open(&format!("http://{}/?pcm", server.address))
        .await;
    chromium.click("record").await;
    chromium
        .until("document.querySelectorAll('.word').length >= 20")
        .await;
    chromium.click("record").await;
    chromium.until(IS_OVER).await;
    let heard = texts(&mut chromium).await;
    assert!(is_mostly(&heard, FRENCH), "{heard:?}");
    assert!(chromium.complaints.is_empty(), "{:?}", chromium.complaints);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_microphone_is_explained() {
    let server = server().await;
    for (microphone, sentence) in [
        (
            Microphone::Refused,
            "The browser withholds the microphone: it was refused",
        ),
        (Microphone::None, "There is no microphone."),
    ] {
        let mut chromium = Chromium::start(microphone).await;
        chromium.look(1100, 760, "light").await;
        chromium.open(&format!("http://{}/", server.address)).await;
        chromium.click("record").await;
        chromium
            .until("!document.getElementById('notice').hidden")
            .await;
        let notice = chromium
            .ask("document.getElementById('notice').textContent")
            .await;
        assert!(notice.as_str().unwrap().starts_with(sentence), "{notice}");
        chromium.screenshot("refused").await;
        assert_eq!(chromium.ask(IS_OVER).await, json!(true));
    }
    assert!(server.exchange.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_from_elsewhere_is_explained() {
    let server = server().await;
    let mut chromium = Chromium::start(Microphone::Refused).await;
    // Loopback by another name: what counts is what the address says.
    let address = format!("http://elsewhere.test:{}/", server.address.port());
    chromium.open(&address).await;
    chromium.click("record").await;
    chromium
        .until("!document.getElementById('notice').hidden")
        .await;
    let notice = chromium
        .ask("document.getElementById('notice').textContent")
        .await;
    let notice = notice.as_str().unwrap();
    assert!(
        notice.contains("plain HTTP from elsewhere.test:") && notice.contains("It needs HTTPS"),
        "{notice}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cues_can_be_read() {
    let server = server().await;
    let mut chromium = Chromium::start(Microphone::Refused).await;
    chromium.open(&format!("http://{}/", server.address)).await;
    let ask = r#"(async () => {
        const { cues, toVtt, toSrt, toText } = await import("/page/subtitles.js");
        const words = (text, start, each = 0.3, gap = 0.05) => text.split(" ").map((text, i) =>
            ({ text, start: start + i * (each + gap), end: start + i * (each + gap) + each }));
        const long = words("This is the first sentence of some length. And here comes another one, which goes on and on for longer than any cue may be, so that it has to be cut somewhere", 1);
        const short = words("Yes.", 30);
        const next = words("Then somebody else speaks <at> once & more", 30.5);
        const chinese = words("你 好 世 界 。", 50);
        const all = [long, short, next, chinese];
        return { cues: cues(all), vtt: toVtt(all), srt: toSrt(all), text: toText(all), none: [toVtt([]), toSrt([]), toText([])] };
    })()"#;
    let made = chromium.ask(ask).await;
    let cues = made["cues"].as_array().unwrap();
    let number = |cue: &Value, name: &str| cue[name].as_f64().unwrap();
    for cue in cues {
        let text = cue["text"].as_str().unwrap();
        assert!(
            text.lines().count() <= 2 && text.lines().all(|line| line.chars().count() <= 50),
            "{text}"
        );
        let length = number(cue, "end") - number(cue, "start");
        assert!(length > 0.3 && length <= 7.0, "{cue}");
    }
    for pair in cues.windows(2) {
        assert!(
            number(&pair[0], "end") < number(&pair[1], "start"),
            "{pair:?}"
        );
    }
    assert_eq!(
        cues[0]["text"],
        "This is the first sentence of some length."
    );
    // Behind a mark rather than where it is full.
    assert!(
        cues[1]["text"].as_str().unwrap().ends_with(','),
        "{}",
        cues[1]
    );
    assert_eq!(cues.last().unwrap()["text"], "你好世界。");
    let vtt = made["vtt"].as_str().unwrap();
    assert!(vtt.contains("&lt;at&gt; once &amp; more"), "{vtt}");
    assert!(
        vtt.contains("\n\n00:00:30.000 --> 00:00:30.460\nYes.\n"),
        "{vtt}"
    );
    assert!(
        made["srt"]
            .as_str()
            .unwrap()
            .contains("1\n00:00:01,000 --> "),
        "{made}"
    );
    assert!(
        made["text"]
            .as_str()
            .unwrap()
            .contains("\nYes.\nThen somebody"),
        "{made}"
    );
    assert_eq!(made["none"], json!(["WEBVTT\n", "", ""]));
}
