//! Models by their id on the Hugging Face hub, `org/name` or `org/name@revision`.
//!
//! What is fetched lies in the cache that Hugging Face's libraries share, so a model that was downloaded by any of them
//! is found, and one that was downloaded here is found by them. What the cache has is used as it is: without a request,
//! and without a look whether the branch has moved on since.
//!
//! The layout of the cache is the crate `hf-hub`'s. Its downloads are not used: the blocking ones (up to 0.5) cannot be
//! stopped while a server is silent, have no time-out, check no sum and wait at most five seconds for another process;
//! those of 1.0 need an asynchronous runtime. So the bytes come through `ureq`, the client that `hf-hub` itself uses.

mod cache;
mod client;
mod error;
mod settings;
mod transfer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::hf::{self, NAMES};
use crate::whisper::Cancel;

use cache::Shelf;
use client::{Client, Listing};
pub use error::HubError;
pub use settings::Settings;
use transfer::{Transfer, Wanted};

/// The revision when none is named.
const MAIN: &str = "main";
/// What no model runs without, beside the weights.
const CONFIG: &str = "config.json";
/// What a model may do without.
const OPTIONAL: [&str; 3] = [
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
];

/// A repository on the hub, at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    pub id: String,
    pub revision: String,
}

impl HubId {
    /// Reads `org/name` or `org/name@revision`; `None` for anything that cannot be one.
    pub fn parse(text: &str) -> Option<HubId> {
        let (id, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let (owner, name) = id.split_once('/')?;
        // A revision may be a branch with slashes in its name. It becomes a path in the cache: no part of it leads out.
        (is_name(owner) && is_name(name) && revision.split('/').all(is_name)).then(|| HubId {
            id: id.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// As it is written: without the revision if that is the usual one.
    fn text(&self) -> String {
        match self.revision.as_str() {
            MAIN => self.id.clone(),
            revision => format!("{}@{revision}", self.id),
        }
    }
}

/// Whether `text` is a name that the hub allows, and so a file name that leads nowhere else.
fn is_name(text: &str) -> bool {
    (1..=96).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && !text.contains("..")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// How much of what has to be fetched is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes of all; 0 if that is not known.
    pub of: u64,
}

impl Fetched {
    /// Whole percent.
    pub fn percent(self) -> u8 {
        let percent = self.bytes.saturating_mul(100).checked_div(self.of);
        percent.map_or(0, |percent| percent.min(100) as u8)
    }
}

/// The folder with the model's files, from the cache or the network. `progress` is told at every percent of the weights;
/// never, if there is nothing to fetch.
///
/// # Errors
/// A sentence for whatever keeps the model from being here ([`HubError`]).
pub fn fetch(
    settings: &Settings,
    hub: &HubId,
    cancel: &Cancel,
    progress: &mut dyn FnMut(Fetched),
) -> Result<PathBuf, HubError> {
    let shelf = Shelf::new(&settings.cache, hub);
    let known = shelf.commit();
    let (cached, missing) = match known
        .as_deref()
        .map(|commit| (commit, lacks(&shelf, commit)))
    {
        None => (None, CONFIG.to_owned()),
        Some((commit, None)) => return Ok(shelf.snapshot(commit)),
        Some((commit, Some(Lack::Unknown))) => (Some(shelf.snapshot(commit)), String::new()),
        Some((_, Some(Lack::Needed(file)))) => (None, file),
    };
    let fetched = match settings.offline {
        true => Err(HubError::Offline {
            model: hub.text(),
            cache: settings.cache.path().clone(),
            file: missing,
        }),
        false => update(settings, hub, &shelf, cancel, progress),
    };
    match (fetched, cached) {
        // Where nobody can be asked, a model does without what it might do without.
        (
            Err(HubError::Offline { .. } | HubError::Unreachable { .. } | HubError::Stalled { .. }),
            Some(cached),
        ) => Ok(cached),
        (Err(error @ HubError::Unreachable { .. }), None) => Err(HubError::NotHere {
            model: hub.text(),
            cache: settings.cache.path().clone(),
            reason: Box::new(error),
        }),
        (fetched, _) => fetched,
    }
}

/// The folder of a model that was fetched before, by whatever program; all of it need not be there.
pub fn cached(id: &str, revision: &str) -> Option<PathBuf> {
    let settings = Settings::from_env().ok()?;
    let (id, revision) = (id.to_owned(), revision.to_owned());
    let shelf = Shelf::new(&settings.cache, &HubId { id, revision });
    let folder = shelf.snapshot(&shelf.commit()?);
    folder.is_dir().then_some(folder)
}

/// Completes the snapshot of the commit that is known, or of what the revision stands for now.
fn update(
    settings: &Settings,
    hub: &HubId,
    shelf: &Shelf,
    cancel: &Cancel,
    progress: &mut dyn FnMut(Fetched),
) -> Result<PathBuf, HubError> {
    let client = Client::new(settings)?;
    let known = shelf.commit().map(|revision| HubId {
        id: hub.id.clone(),
        revision,
    });
    let listing = match known.map(|known| client.listing(&known, cancel)) {
        // A commit may go when history is written anew.
        None | Some(Err(HubError::NoRevision { .. })) => client.listing(hub, cancel),
        Some(listing) => listing,
    }?;
    let commit = listing.commit.clone();
    let order = Order {
        hub,
        shelf,
        client: &client,
        listing,
        cancel,
    };
    order.fill(progress)?;
    shelf.note_commit(&commit)?;
    Ok(shelf.snapshot(&commit))
}

/// What a snapshot in the cache lacks.
enum Lack {
    /// A file that the model needs.
    Needed(String),
    /// A file of which it is not known whether the repository has it.
    Unknown,
}

fn lacks(shelf: &Shelf, commit: &str) -> Option<Lack> {
    let absent = |name: &&str| !shelf.has(commit, name);
    let needed = |name: &str| Some(Lack::Needed(name.to_owned()));
    if absent(&CONFIG) {
        return needed(CONFIG);
    }
    let whole = |(single, index): (&str, &str)| match shelf.has(commit, single) {
        true => None,
        false => match shards(shelf, commit, index) {
            Ok(shards) => shards.into_iter().find(|shard| absent(&shard.as_str())),
            Err(_) => Some(single.to_owned()),
        },
    };
    let [preferred, other] = NAMES.map(whole);
    if let (Some(missing), Some(_)) = (preferred, other) {
        return needed(&missing);
    }
    let unknown = |name: &&str| absent(name) && !shelf.is_known_absent(commit, name);
    OPTIONAL.iter().any(unknown).then_some(Lack::Unknown)
}

/// The files that the snapshot's index of shards names: by plain names, since they come from a stranger.
fn shards(shelf: &Shelf, commit: &str, index: &str) -> Result<Vec<String>, String> {
    let json = std::fs::read(shelf.snapshot(commit).join(index)).map_err(|e| e.to_string())?;
    let names: Vec<String> = hf::shard_names(&json)?.into_iter().collect();
    let is_weights = |name: &str| name.ends_with(".safetensors") || name.ends_with(".bin");
    match names
        .iter()
        .find(|name| !is_name(name) || !is_weights(name))
    {
        Some(name) => Err(format!("{name:?} is no name of a file of weights")),
        None => Ok(names),
    }
}

/// The files to fetch for one snapshot.
struct Order<'a> {
    hub: &'a HubId,
    shelf: &'a Shelf,
    client: &'a Client,
    listing: Listing,
    cancel: &'a Cancel,
}

impl Order<'_> {
    /// Fetches what the snapshot lacks.
    fn fill(&self, progress: &mut dyn FnMut(Fetched)) -> Result<(), HubError> {
        let commit = &self.listing.commit;
        if !self.listing.has(CONFIG) {
            return Err(self.no_file(CONFIG));
        }
        let mut small = vec![CONFIG];
        for name in OPTIONAL {
            match self.listing.has(name) {
                true => small.push(name),
                false => self.shelf.note_absent(commit, name),
            }
        }
        let there = |names: &(&str, &str)| self.listing.has(names.0) || self.listing.has(names.1);
        let Some((single, index)) = NAMES.into_iter().find(there) else {
            return Err(self.no_file(&NAMES.map(|(single, _)| single).join(" nor ")));
        };
        let is_single = self.listing.has(single);
        if !is_single {
            small.push(index);
        }
        let small = self.wanted(small)?;
        self.get(&small, &mut |_| {})?;

        let weights = match is_single {
            true => vec![single.to_owned()],
            false => shards(self.shelf, commit, index).map_err(|reason| HubError::BadAnswer {
                url: self.client.url(self.hub, commit, index),
                reason,
            })?,
        };
        let weights = self.wanted(weights.iter().map(String::as_str))?;
        let of = weights.iter().filter_map(|wanted| wanted.size).sum();
        let mut told = None;
        self.get(&weights, &mut |bytes| {
            let fetched = Fetched { bytes, of };
            if told.replace(fetched.percent()) != Some(fetched.percent()) {
                progress(fetched);
            }
        })
    }

    fn wanted<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<Vec<Wanted<'n>>, HubError> {
        let commit = &self.listing.commit;
        let missing = |name: &&str| !self.shelf.has(commit, name);
        let describe = |name| {
            let file = self.listing.file(name).ok_or_else(|| self.no_file(name))?;
            match &file.etag {
                Some(etag) => Ok(Wanted {
                    name,
                    etag: etag.clone(),
                    size: file.size,
                }),
                // A mirror that lists names alone tells the rest with each file.
                None => self.client.describe(self.hub, commit, name, self.cancel),
            }
        };
        names.into_iter().filter(missing).map(describe).collect()
    }

    /// Fetches `files`; `done` is told bytes of them all.
    fn get(&self, files: &[Wanted<'_>], done: &mut dyn FnMut(u64)) -> Result<(), HubError> {
        let mut before = 0;
        for wanted in files {
            let mut of_file = 0;
            Transfer {
                hub: self.hub,
                client: self.client,
                shelf: self.shelf,
                commit: &self.listing.commit,
                url: self.client.url(self.hub, &self.listing.commit, wanted.name),
                wanted,
                cancel: self.cancel,
            }
            .run(&mut |bytes| {
                of_file = bytes;
                done(before + bytes);
            })?;
            before += of_file;
        }
        Ok(())
    }

    fn no_file(&self, name: &str) -> HubError {
        HubError::NoFile {
            model: self.hub.text(),
            file: name.to_owned(),
            files: self.listing.names(),
        }
    }
}
