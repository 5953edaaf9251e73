use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hf_hub::Cache;

use super::*;
use server::{COMMIT, Fault, Hub, ID, Manner};

#[path = "../../../../tests/common/hub.rs"]
mod server;

/// Bytes of the weights: more than one piece, and of no round number.
const WEIGHTS: usize = 3_000_017;

fn files() -> BTreeMap<String, Vec<u8>> {
    let weights: Vec<u8> = (0..WEIGHTS).map(|i| (i * 31 % 251) as u8).collect();
    let small = |text: &str| text.as_bytes().to_vec();
    [
        ("README.md", small("read me")),
        ("config.json", small("{\"model_type\": \"whisper\"}")),
        ("generation_config.json", small("{}")),
        ("model.safetensors", weights),
        ("tokenizer.json", small("{\"model\": {}}")),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

/// A hub, and a cache of one's own.
struct Bench {
    hub: Hub,
    folder: tempfile::TempDir,
    settings: Settings,
}

impl Bench {
    fn new(files: BTreeMap<String, Vec<u8>>, manner: Manner) -> Bench {
        let hub = Hub::serve(files, manner);
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            endpoint: hub.endpoint.clone(),
            cache: Cache::new(folder.path().join("hub")),
            token: None,
            offline: false,
            patience: Duration::from_secs(5),
            pause: Duration::from_millis(1),
            proxy: None,
            certificates: None,
        };
        Bench {
            hub,
            folder,
            settings,
        }
    }

    fn usual() -> Bench {
        Bench::new(files(), Manner::default())
    }

    fn faulty(faults: &[Fault]) -> Bench {
        let of = |&fault: &Fault| ("model.safetensors".to_owned(), fault);
        let manner = Manner {
            faults: faults.iter().map(of).collect(),
            ..Manner::default()
        };
        Bench::new(files(), manner)
    }

    fn fetch_id(&self, id: &str) -> Result<PathBuf, HubError> {
        let hub = HubId::parse(id).unwrap();
        fetch(&self.settings, &hub, &Cancel::default(), &mut |_| {})
    }

    fn fetch(&self) -> Result<PathBuf, HubError> {
        self.fetch_id(ID)
    }

    fn refusal(&self, id: &str) -> String {
        self.fetch_id(id).unwrap_err().to_string()
    }

    fn blobs(&self) -> PathBuf {
        self.folder
            .path()
            .join("hub/models--org--whisper-test/blobs")
    }

    fn etag(&self, name: &str) -> String {
        server::etag(name, &files()[name])
    }

    /// What of the weights is there before they are complete.
    fn part(&self) -> PathBuf {
        let etag = self.etag("model.safetensors");
        self.blobs().join(format!("{etag}.incomplete"))
    }

    fn ranges(&self) -> Vec<Option<String>> {
        let asked = self.hub.asked_for("model.safetensors");
        asked.into_iter().map(|asked| asked.range).collect()
    }
}

fn is_whole(snapshot: &Path) {
    for (name, bytes) in files() {
        if name != "README.md" {
            assert_eq!(fs::read(snapshot.join(&name)).unwrap(), bytes, "{name}");
        }
    }
}

fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
}

#[test]
fn an_id_is_an_owner_a_name_and_perhaps_a_revision() {
    let parsed = |text| HubId::parse(text).map(|hub| (hub.id, hub.revision));
    let id = |id: &str, revision: &str| Some((id.to_owned(), revision.to_owned()));
    assert_eq!(
        parsed("openai/whisper-small"),
        id("openai/whisper-small", "main")
    );
    assert_eq!(parsed("a/b.c@refs/pr/1"), id("a/b.c", "refs/pr/1"));
    for no in [
        "",
        "small",
        "/a/b",
        "./a/b",
        "a/b/c",
        "../b",
        "a/..",
        "a/b@",
        "a/b@..",
        "a/b@x/../y",
        "a/b@/etc",
        "a b/c",
        "a/b\\c",
        "~/b",
        "a/b@x@y",
        "-a/b",
        "http://h/a",
    ] {
        assert_eq!(parsed(no), None, "{no:?}");
    }
}

#[test]
fn the_environment_is_read_as_hugging_faces_libraries_read_it() {
    let read = |pairs: &[(&str, &str)]| {
        let pairs: BTreeMap<String, String> = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Settings::read(&|name| pairs.get(name).cloned())
    };
    let settings = read(&[
        ("HF_HOME", "/there"),
        ("HF_ENDPOINT", "http://mirror:8080/hf/"),
        ("HF_TOKEN", " secret\n"),
        ("HF_HUB_OFFLINE", "YES"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "0.5"),
    ])
    .unwrap();
    assert_eq!(settings.cache.path(), Path::new("/there/hub"));
    assert_eq!(settings.endpoint, "http://mirror:8080/hf");
    assert_eq!(settings.token.as_deref(), Some("secret"));
    assert!(settings.offline);
    assert_eq!(settings.patience, Duration::from_millis(500));

    let settings = read(&[("XDG_CACHE_HOME", "/cache"), ("HF_HUB_OFFLINE", "0")]).unwrap();
    assert_eq!(settings.cache.path(), Path::new("/cache/huggingface/hub"));
    assert!(!settings.offline && settings.endpoint.starts_with("https://"));
    assert_eq!(settings.patience, Duration::from_secs(30));
    let settings = read(&[("HF_HOME", "/a"), ("HF_HUB_CACHE", "/b")]).unwrap();
    assert_eq!(settings.cache.path(), Path::new("/b"));

    for (name, value) in [
        ("HF_ENDPOINT", "mirror"),
        ("HF_ENDPOINT", "ftp://mirror"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "-1"),
    ] {
        let refusal = read(&[("HF_HOME", "/a"), (name, value)]).unwrap_err();
        contains_all(&refusal.to_string(), &[name, value]);
    }
}

#[test]
fn a_token_that_a_login_left_is_found() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "left\n").unwrap();
    let home = folder.path().to_str().unwrap().to_owned();
    let settings = Settings::read(&|name| (name == "HF_HOME").then(|| home.clone())).unwrap();
    assert_eq!(settings.token.as_deref(), Some("left"));
}

#[test]
fn a_model_is_fetched_once_into_the_shared_layout() {
    let bench = Bench::usual();
    let snapshot = bench.fetch().unwrap();
    is_whole(&snapshot);
    let repository = bench.folder.path().join("hub/models--org--whisper-test");
    assert_eq!(snapshot, repository.join("snapshots").join(COMMIT));
    assert_eq!(
        fs::read_to_string(repository.join("refs/main")).unwrap(),
        COMMIT
    );
    let link = fs::read_link(snapshot.join("model.safetensors")).unwrap();
    assert_eq!(
        link,
        Path::new("../../blobs").join(bench.etag("model.safetensors"))
    );
    assert!(!snapshot.join("README.md").exists(), "only what is needed");
    assert!(!bench.part().exists());

    bench.hub.forget();
    assert_eq!(bench.fetch().unwrap(), snapshot);
    assert_eq!(bench.hub.asked().len(), 0, "{:?}", bench.hub.asked());
}

#[test]
fn what_is_fetched_is_told_in_percent() {
    let bench = Bench::usual();
    let hub = HubId::parse(ID).unwrap();
    let mut told = Vec::new();
    let mut progress = |fetched| told.push(fetched);
    fetch(&bench.settings, &hub, &Cancel::default(), &mut progress).unwrap();
    let of = WEIGHTS as u64;
    assert_eq!(told.last(), Some(&Fetched { bytes: of, of }));
    let told: Vec<u8> = told.into_iter().map(Fetched::percent).collect();
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    assert!(
        told.iter().any(|percent| (20..80).contains(percent)),
        "{told:?}"
    );
}

#[test]
fn what_another_library_has_fetched_is_found_without_a_request() {
    let bench = Bench::usual();
    let repository = bench.folder.path().join("hub/models--org--whisper-test");
    let commit = "f".repeat(40);
    let snapshot = repository.join("snapshots").join(&commit);
    for folder in ["refs", "blobs"] {
        fs::create_dir_all(repository.join(folder)).unwrap();
    }
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(repository.join("refs/main"), &commit).unwrap();
    for name in [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "generation_config.json",
        "preprocessor_config.json",
    ] {
        fs::write(repository.join("blobs").join(name), name).unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{name}"), snapshot.join(name)).unwrap();
    }
    for id in [ID.to_owned(), format!("{ID}@{commit}")] {
        assert_eq!(bench.fetch_id(&id).unwrap(), snapshot);
    }
    assert_eq!(bench.hub.asked().len(), 0);
}

#[test]
fn only_what_the_cache_lacks_is_fetched() {
    let bench = Bench::usual();
    let snapshot = bench.fetch().unwrap();
    fs::remove_file(snapshot.join("tokenizer.json")).unwrap();
    fs::remove_dir_all(
        bench
            .folder
            .path()
            .join("hub/models--org--whisper-test/.no_exist"),
    )
    .unwrap();
    fs::remove_file(bench.blobs().join(bench.etag("tokenizer.json"))).unwrap();
    bench.hub.forget();
    is_whole(&bench.fetch().unwrap());
    assert_eq!(bench.ranges(), []);
    assert_eq!(bench.hub.asked_for("tokenizer.json").len(), 1);
    // A blob that another snapshot has is not fetched again, either.
    fs::remove_file(snapshot.join("model.safetensors")).unwrap();
    is_whole(&bench.fetch().unwrap());
    assert_eq!(bench.ranges(), []);
}

#[test]
fn a_revision_is_a_branch_a_pull_request_or_a_commit() {
    for revision in ["main", "refs/pr/1", COMMIT] {
        let bench = Bench::usual();
        let id = format!("{ID}@{revision}");
        is_whole(&bench.fetch_id(&id).unwrap());
        bench.hub.forget();
        is_whole(&bench.fetch_id(&id).unwrap());
        assert_eq!(bench.hub.asked().len(), 0, "{revision}");
    }
    let refusal = Bench::usual().refusal(&format!("{ID}@v9"));
    contains_all(&refusal, &[ID, "no revision \"v9\"", "branch"]);
}

#[test]
fn offline_is_the_cache_alone() {
    let mut bench = Bench::usual();
    bench.settings.offline = true;
    let refusal = bench.refusal(ID);
    contains_all(&refusal, &[ID, "HF_HUB_OFFLINE", "config.json", "path"]);
    assert_eq!(bench.hub.asked().len(), 0);
    bench.settings.offline = false;
    bench.fetch().unwrap();
    bench.settings.offline = true;
    bench.settings.endpoint = "http://127.0.0.1:1".into();
    is_whole(&bench.fetch().unwrap());
}

#[test]
fn a_cache_without_what_may_be_absent_is_enough_where_nobody_answers() {
    let mut bench = Bench::usual();
    let snapshot = bench.fetch().unwrap();
    fs::remove_file(snapshot.join("generation_config.json")).unwrap();
    bench.settings.endpoint = "http://127.0.0.1:1".into();
    assert_eq!(bench.fetch().unwrap(), snapshot);
    assert!(!snapshot.join("generation_config.json").exists());
    bench.settings.endpoint = bench.hub.endpoint.clone();
    is_whole(&bench.fetch().unwrap());
}

#[test]
fn a_hub_that_cannot_be_reached_is_named() {
    let mut bench = Bench::usual();
    bench.settings.endpoint = "http://127.0.0.1:1".into();
    let parts = [ID, "path", "cache", "http://127.0.0.1:1/", "HF_ENDPOINT"];
    contains_all(&bench.refusal(ID), &parts);
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let bench = Bench::faulty(&[Fault::Cut(1_200_000), Fault::Cut(100), Fault::Cut(0)]);
    is_whole(&bench.fetch().unwrap());
    let from = |byte: usize| Some(format!("bytes={byte}-"));
    let at = 1_200_100;
    assert_eq!(bench.ranges(), [None, from(1_200_000), from(at), from(at)]);
}

#[test]
fn connections_that_break_without_end_are_given_up_and_what_came_is_kept() {
    let bench = Bench::faulty(&[Fault::Cut(1000); 9]);
    let refusal = bench.refusal(ID);
    contains_all(&refusal, &["model.safetensors", "byte 5000", "kept"]);
    assert_eq!(bench.ranges().len(), 5);
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 5000);
    // The next start goes on from there.
    bench.hub.set(|manner| manner.faults.clear());
    bench.hub.forget();
    is_whole(&bench.fetch().unwrap());
    assert_eq!(bench.ranges(), [Some("bytes=5000-".to_owned())]);
}

#[test]
fn a_server_without_parts_sends_the_whole_again() {
    let bench = Bench::faulty(&[Fault::Cut(1_200_000), Fault::NoRange]);
    is_whole(&bench.fetch().unwrap());
}

#[test]
fn a_server_that_is_overtaxed_is_asked_again() {
    let bench = Bench::faulty(&[Fault::Status(503), Fault::Status(429)]);
    is_whole(&bench.fetch().unwrap());
    let bench = Bench::faulty(&[Fault::Status(500); 9]);
    contains_all(&bench.refusal(ID), &["answered 500", "later"]);
    let bench = Bench::faulty(&[Fault::Status(410)]);
    contains_all(&bench.refusal(ID), &["answered 410"]);
    assert_eq!(bench.ranges().len(), 1);
}

#[test]
fn a_wrong_checksum_is_told_and_its_file_deleted() {
    let bench = Bench::faulty(&[Fault::Damage]);
    let refusal = bench.refusal(ID);
    contains_all(
        &refusal,
        &["checksum", &bench.etag("model.safetensors"), "deleted"],
    );
    assert!(!bench.part().exists());
    assert!(!bench.blobs().join(bench.etag("model.safetensors")).exists());
    is_whole(&bench.fetch().unwrap());
}

#[test]
fn a_small_file_is_checked_as_git_names_it() {
    let manner = Manner {
        faults: vec![("tokenizer.json".into(), Fault::Damage)],
        ..Manner::default()
    };
    let refusal = Bench::new(files(), manner).refusal(ID);
    contains_all(&refusal, &["tokenizer.json", "checksum"]);
}

#[test]
fn a_part_of_another_file_is_found_out_and_fetched_anew() {
    for foreign in [100, WEIGHTS, WEIGHTS + 1] {
        let bench = Bench::usual();
        fs::create_dir_all(bench.blobs()).unwrap();
        fs::write(bench.part(), vec![7; foreign]).unwrap();
        is_whole(&bench.fetch().unwrap());
    }
}

#[test]
fn a_silent_server_is_given_up_after_a_while() {
    let mut bench = Bench::faulty(&[Fault::Stall(1_000_000)]);
    bench.settings.patience = Duration::from_millis(300);
    let begun = Instant::now();
    let refusal = bench.refusal(ID);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    contains_all(
        &refusal,
        &["no data", "0.3 s", "HF_HUB_DOWNLOAD_TIMEOUT", "kept"],
    );
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 1_000_000);
}

#[test]
fn a_slow_server_is_not_a_silent_one() {
    let slow = Fault::Slow(Duration::from_micros(300));
    let mut bench = Bench::faulty(&[slow]);
    bench.settings.patience = Duration::from_millis(500);
    let begun = Instant::now();
    is_whole(&bench.fetch().unwrap());
    assert!(begun.elapsed() > bench.settings.patience);
}

#[test]
fn a_download_ends_at_once_when_it_is_cancelled_though_the_server_is_silent() {
    let bench = Bench::faulty(&[Fault::Stall(1_000_000)]);
    let cancel = Cancel::default();
    let hub = HubId::parse(ID).unwrap();
    let (ended, took) = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch(&bench.settings, &hub, &cancel, &mut |_| {}));
        while fs::metadata(bench.part()).map_or(0, |part| part.len()) < 1_000_000 {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        let begun = Instant::now();
        cancel.cancel();
        (fetching.join().unwrap(), begun.elapsed())
    });
    assert!(matches!(ended, Err(HubError::Cancelled)), "{ended:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_repository_that_is_not_shown_is_named_with_what_may_be_wrong() {
    let refused = |status, code| {
        let manner = Manner {
            refusal: Some((status, code)),
            ..Manner::default()
        };
        Bench::new(files(), manner)
    };
    for (status, code) in [
        (404, Some("RepoNotFound")),
        (401, Some("RepoNotFound")),
        (404, None),
        (401, None),
    ] {
        let refusal = refused(status, code).refusal(ID);
        let status = status.to_string();
        let parts = [
            ID, "path", "private", "gated", "HF_TOKEN", "spelling", &status,
        ];
        contains_all(&refusal, &parts);
    }
    for (status, code) in [
        (401, Some("GatedRepo")),
        (403, Some("GatedRepo")),
        (403, None),
    ] {
        let refusal = refused(status, code).refusal(ID);
        contains_all(&refusal, &[ID, "is gated", "HF_TOKEN"]);
    }
    let mut bench = refused(401, None);
    bench.settings.token = Some("hf_secret".into());
    let refusal = bench.refusal(ID);
    contains_all(&refusal, &["the one that is set may not"]);
    assert!(!refusal.contains("hf_secret"), "{refusal}");
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_it_sends_us_to() {
    let manner = Manner {
        token: Some("hf_secret"),
        ..Manner::default()
    };
    let mut bench = Bench::new(files(), manner);
    contains_all(&bench.refusal(ID), &["answered 401"]);
    bench.settings.token = Some("hf_secret".into());
    is_whole(&bench.fetch().unwrap());
    let stored: Vec<_> = bench
        .hub
        .asked()
        .into_iter()
        .filter(|asked| asked.storage)
        .collect();
    assert!(!stored.is_empty());
    assert!(
        stored.iter().all(|asked| asked.token.is_none()),
        "{stored:?}"
    );

    bench.settings.token = Some("two\nlines".into());
    fs::remove_dir_all(bench.folder.path().join("hub")).unwrap();
    let refusal = bench.refusal(ID);
    contains_all(&refusal, &["HF_TOKEN"]);
    assert!(!refusal.contains("lines"), "{refusal}");
}

#[test]
fn a_repository_that_was_renamed_is_followed() {
    let manner = Manner {
        former: Some("org/old-name"),
        ..Manner::default()
    };
    let bench = Bench::new(files(), manner);
    let snapshot = bench.fetch_id("org/old-name").unwrap();
    is_whole(&snapshot);
    assert!(snapshot.to_str().unwrap().contains("models--org--old-name"));
}

#[test]
fn redirects_without_end_are_told() {
    let manner = Manner {
        // Whatever it is sent to is sent on.
        former: Some("org/"),
        ..Manner::default()
    };
    let refusal = Bench::new(files(), manner).refusal("org/old");
    contains_all(&refusal, &["more than 10 redirects"]);
}

#[test]
fn a_mirror_that_lists_names_alone_is_asked_for_each_file() {
    let manner = Manner {
        bare: true,
        faults: vec![("model.safetensors".into(), Fault::NoRange)],
        ..Manner::default()
    };
    let bench = Bench::new(files(), manner);
    is_whole(&bench.fetch().unwrap());
    assert!(bench.blobs().join(bench.etag("model.safetensors")).exists());
    assert!(bench.blobs().join(bench.etag("config.json")).exists());
}

/// The files, with the weights in two shards by this index.
fn sharded(shards: [&str; 2]) -> BTreeMap<String, Vec<u8>> {
    let mut files = files();
    let weights = files.remove("model.safetensors").unwrap();
    let (first, second) = weights.split_at(1_000_000);
    files.insert("model-00001-of-00002.safetensors".into(), first.to_vec());
    files.insert("model-00002-of-00002.safetensors".into(), second.to_vec());
    let index = format!(
        "{{\"weight_map\": {{\"a\": {:?}, \"b\": {:?}}}}}",
        shards[0], shards[1]
    );
    files.insert("model.safetensors.index.json".into(), index.into_bytes());
    files
}

#[test]
fn shards_are_fetched_by_their_index() {
    let shards = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let bench = Bench::new(sharded(shards), Manner::default());
    let snapshot = bench.fetch().unwrap();
    let all = shards.map(|shard| fs::read(snapshot.join(shard)).unwrap());
    assert_eq!(all.concat(), files()["model.safetensors"]);
    bench.hub.forget();
    bench.fetch().unwrap();
    assert_eq!(bench.hub.asked().len(), 0);
    fs::remove_file(snapshot.join(shards[1])).unwrap();
    let mut settings = bench.settings.clone();
    settings.offline = true;
    let hub = HubId::parse(ID).unwrap();
    let refusal = fetch(&settings, &hub, &Cancel::default(), &mut |_| {}).unwrap_err();
    contains_all(&refusal.to_string(), &[shards[1]]);
}

#[test]
fn without_safetensors_it_is_pytorchs_weights() {
    let mut files = files();
    let weights = files.remove("model.safetensors").unwrap();
    files.insert("pytorch_model.bin".into(), weights.clone());
    files.remove("tokenizer.json");
    let bench = Bench::new(files, Manner::default());
    let snapshot = bench.fetch().unwrap();
    assert_eq!(
        fs::read(snapshot.join("pytorch_model.bin")).unwrap(),
        weights
    );
    bench.hub.forget();
    bench.fetch().unwrap();
    assert_eq!(bench.hub.asked().len(), 0);
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    let there = "model-00001-of-00002.safetensors";
    for name in [
        "../../evil.safetensors",
        "/tmp/evil.safetensors",
        "a/b.safetensors",
        "evil.sh",
        "model.safetensors?x.safetensors",
    ] {
        let mut files = sharded([there, name]);
        files.insert(name.to_owned(), b"evil".to_vec());
        let bench = Bench::new(files, Manner::default());
        contains_all(&bench.refusal(ID), &["index.json", name]);
        assert!(
            bench
                .hub
                .asked()
                .iter()
                .all(|asked| !asked.path.contains("evil"))
        );
    }
    let bench = Bench::new(sharded([there, "model-9.safetensors"]), Manner::default());
    contains_all(&bench.refusal(ID), &["has no model-9.safetensors"]);
}

#[test]
fn a_repository_of_another_kind_is_told_by_what_it_has() {
    for (absent, told) in [
        (
            "model.safetensors",
            "has no model.safetensors nor pytorch_model.bin",
        ),
        ("config.json", "has no config.json"),
    ] {
        let mut files = files();
        files.remove(absent);
        let bench = Bench::new(files, Manner::default());
        contains_all(&bench.refusal(ID), &[ID, told, "only", "README.md"]);
        assert_eq!(bench.ranges(), [], "nothing large is fetched in vain");
    }
}

#[test]
fn an_answer_that_is_no_hubs_is_told() {
    let manner = Manner {
        refusal: Some((200, None)),
        ..Manner::default()
    };
    let refusal = Bench::new(files(), manner).refusal(ID);
    contains_all(&refusal, &["/api/models/", "HF_ENDPOINT"]);
}

#[test]
fn a_storage_that_is_not_there_is_named() {
    let manner = Manner {
        elsewhere: Some("http://127.0.0.1:1".into()),
        ..Manner::default()
    };
    let refusal = Bench::new(files(), manner).refusal(ID);
    contains_all(&refusal, &["http://127.0.0.1:1/cas/", "cannot be reached"]);
}

#[test]
fn two_that_want_the_same_fetch_it_once() {
    let bench = Bench::faulty(&[Fault::Slow(Duration::from_micros(100))]);
    let snapshots: Vec<PathBuf> = std::thread::scope(|scope| {
        let fetching = [(); 3].map(|()| scope.spawn(|| bench.fetch().unwrap()));
        fetching.map(|fetching| fetching.join().unwrap()).into()
    });
    snapshots.iter().for_each(|snapshot| is_whole(snapshot));
    assert_eq!(bench.ranges().len(), 1);
}

#[test]
fn who_waits_for_another_can_be_cancelled() {
    let bench = Bench::faulty(&[Fault::Stall(1000)]);
    let cancel = Cancel::default();
    let hub = HubId::parse(ID).unwrap();
    std::thread::scope(|scope| {
        let first = Cancel::default();
        let one = scope.spawn({
            let (first, hub, bench) = (first.clone(), &hub, &bench);
            move || fetch(&bench.settings, hub, &first, &mut |_| {})
        });
        while !bench.part().exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let other = scope.spawn(|| fetch(&bench.settings, &hub, &cancel, &mut |_| {}));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!other.is_finished());
        let begun = Instant::now();
        cancel.cancel();
        assert!(matches!(other.join().unwrap(), Err(HubError::Cancelled)));
        assert!(begun.elapsed() < Duration::from_secs(1));
        first.cancel();
        assert!(one.join().unwrap().is_err());
    });
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let mut bench = Bench::usual();
    let file = bench.folder.path().join("a file");
    fs::write(&file, "").unwrap();
    bench.settings.cache = Cache::new(file.clone());
    let refusal = bench.refusal(ID);
    contains_all(&refusal, &["a file", "HF_HOME"]);
}
