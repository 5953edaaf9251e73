//! The cache on disk, as Hugging Face's libraries lay it out and share it:
//!
//! ```text
//! hub/models--org--name/refs/main                     the commit that a branch stood at
//! hub/models--org--name/snapshots/COMMIT/config.json  a link to a blob
//! hub/models--org--name/blobs/SUM                     a file's bytes; SUM.incomplete while they come
//! hub/models--org--name/.no_exist/COMMIT/NAME         the repository has no such file
//! hub/.locks/models--org--name/SUM.lock               held by the process that fetches SUM
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::{HubError, HubId};
use crate::whisper::Cancel;

/// How often a lock that somebody else holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The place of one repository in the cache.
pub struct Shelf {
    layout: CacheRepo,
    folder: PathBuf,
    locks: PathBuf,
    revision: String,
}

impl Shelf {
    pub fn new(cache: &Cache, hub: &HubId) -> Shelf {
        let (id, revision) = (hub.id.clone(), hub.revision.clone());
        let repo = Repo::with_revision(id, RepoType::Model, revision);
        let name = repo.folder_name();
        Shelf {
            layout: cache.repo(repo),
            folder: cache.path().join(&name),
            locks: cache.path().join(".locks").join(name),
            revision: hub.revision.clone(),
        }
    }

    /// The commit that the revision is known to stand for.
    pub fn commit(&self) -> Option<String> {
        if is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let noted = fs::read_to_string(self.folder.join("refs").join(&self.revision)).ok()?;
        let commit = noted.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    pub fn note_commit(&self, commit: &str) -> Result<(), HubError> {
        if is_commit(&self.revision) || self.commit().as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(&self.revision);
        let noted = self.layout.create_ref(commit);
        noted.map_err(|error| unwritable(&path, error))
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.layout.pointer_path(commit)
    }

    pub fn has(&self, commit: &str, name: &str) -> bool {
        self.snapshot(commit).join(name).is_file()
    }

    pub fn is_known_absent(&self, commit: &str, name: &str) -> bool {
        self.no_exist(commit).join(name).exists()
    }

    /// Spares the next start a request. One that cannot be written costs that request and no more.
    pub fn note_absent(&self, commit: &str, name: &str) {
        let folder = self.no_exist(commit);
        let noted = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(name)));
        drop(noted);
    }

    fn no_exist(&self, commit: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit)
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where the bytes of a blob are gathered.
    pub fn part(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Puts a blob into a snapshot under its name.
    pub fn link(&self, etag: &str, commit: &str, name: &str) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(name);
        create_parent(&path)?;
        // A link that leads nowhere, because its blob was removed, is renewed.
        if path.symlink_metadata().is_ok() && !path.exists() {
            fs::remove_file(&path).map_err(|error| unwritable(&path, error))?;
        }
        match link(&self.blob(etag), &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(unwritable(&path, error))
            }
            _ => Ok(()),
        }
    }

    /// Waits until no other process fetches this blob. `waiting` is told now and then.
    pub fn lock(
        &self,
        etag: &str,
        cancel: &Cancel,
        waiting: &mut dyn FnMut(),
    ) -> Result<File, HubError> {
        let path = self.locks.join(format!("{etag}.lock"));
        create_parent(&path)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options
            .open(&path)
            .map_err(|error| unwritable(&path, error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    check(cancel)?;
                    waiting();
                    thread::sleep(LOCK_POLL);
                }
                // A file system without locks: the worst that can come of it is a download too many.
                Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(unwritable(&path, error)),
            }
        }
    }
}

/// Whether this is the full name of a commit, and so a file name that leads nowhere else.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub fn check(cancel: &Cancel) -> Result<(), HubError> {
    match cancel.is_cancelled() {
        true => Err(HubError::Cancelled),
        false => Ok(()),
    }
}

pub fn create_parent(path: &Path) -> Result<(), HubError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(|error| unwritable(parent, error)),
        None => Ok(()),
    }
}

pub fn unwritable(path: &Path, error: io::Error) -> HubError {
    HubError::Unwritable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Relative, so that a cache can be moved.
#[cfg(unix)]
fn link(blob: &Path, path: &Path) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(name), path)
}

/// Where links take a privilege, Hugging Face's libraries put the file itself.
#[cfg(not(unix))]
fn link(blob: &Path, path: &Path) -> io::Result<()> {
    fs::copy(blob, path).map(drop)
}
