//! The log in one SQLite file.
//!
//! Invariant: there is one writer, which holds a lock on a file beside the store, and everything that one call of
//! `append` keeps is one transaction, on the disk when the call returns (write-ahead log, synchronous = FULL).
//!
//! It never moves, repairs or deletes a store: one that is corrupt is an error that says how to mend it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::event::{Event, Numbered};
use super::log::{Appended, Conflict, EvidenceLog, LogError};
use super::prune::Retention;
use super::read;
use super::write::Writing;

/// The log in one SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    connection: Connection,
    known: Known,
    /// Held as long as the log is open.
    _lock: File,
}

/// What is known of the file without asking it.
#[derive(Debug)]
pub(super) struct Known {
    /// The number of the next event.
    pub(super) next: i64,
    /// The latest time of an event.
    pub(super) latest: i64,
    /// Numbers of names.
    pub(super) names: HashMap<String, i64>,
}

impl SqliteLog {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// It cannot be opened for writing, another server has it, or it is not whole.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let lock = lock(path)?;
        Self::open_locked(path, lock).map_err(|error| error_of(path, &error)).and_then(|log| log)
    }

    fn open_locked(path: &Path, lock: File) -> rusqlite::Result<Result<Self, LogError>> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        if let Err(error) = read::verify_header(&connection, path, 0)? {
            return Ok(Err(error));
        }
        // after each checkpoint the write-ahead log becomes as small as half the size at which there is another
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = {}; PRAGMA cache_size = -65536; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;",
            CHECKPOINT_BYTES / 2
        ))?;
        let found = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
        for (version, step) in (1..).zip(SCHEMA).filter(|(version, _)| *version > found) {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {step}
                 PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version}; COMMIT;"
            ))?;
        }
        if let Some(why) = fault(&connection, path)? {
            return Ok(Err(LogError::Corrupt { path: path.to_owned(), why }));
        }
        let meta =
            |name: &str| connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
        let known = Known { next: meta("next")?, latest: meta("latest")?, names: HashMap::new() };
        Ok(Ok(Self { path: path.to_owned(), connection, known, _lock: lock }))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, error: &rusqlite::Error) -> LogError {
        error_of(&self.path, error)
    }

    /// Does something in one transaction; nothing is left of it if it fails.
    fn commit<T>(&mut self, work: impl FnOnce(&Connection, &mut Known) -> rusqlite::Result<T>) -> Result<T, LogError> {
        let (next, latest) = (self.known.next, self.known.latest);
        let connection = &self.connection;
        let all = || {
            run(connection, "BEGIN IMMEDIATE")?;
            let result = work(connection, &mut self.known)?;
            run(connection, "COMMIT")?;
            Ok(result)
        };
        all().map_err(|error: rusqlite::Error| {
            self.known = Known { next, latest, names: HashMap::new() };
            if !self.connection.is_autocommit() {
                // whatever it says, the next BEGIN tells whether it went well
                let _ = run(&self.connection, "ROLLBACK");
            }
            self.error(&error)
        })
    }

    /// Moves what was committed from the write-ahead log to its place. Readers hold it up, and nothing depends on it.
    fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// For tests that make it fail.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl EvidenceLog for SqliteLog {
    fn append(&mut self, submissions: &[&[Event]]) -> Result<Vec<Result<Vec<Appended>, Conflict>>, LogError> {
        self.commit(|connection, known| {
            let mut writing = Writing::begin(connection, known)?;
            let kept = submissions.iter().map(|events| writing.keep_all(events)).collect::<rusqlite::Result<_>>()?;
            writing.end()?;
            Ok(kept)
        })
    }

    fn settle(&mut self) {
        let wal = fs::metadata(beside(&self.path, "-wal")).map_or(0, |file| file.len());
        if wal >= CHECKPOINT_BYTES {
            // what goes wrong here goes wrong with the next commit too, and is told there
            let _ = self.checkpoint();
        }
    }

    fn rest(&mut self) {
        // pages are cached for streams of reports; a page that is read again comes from the system's own cache
        let _ = run(&self.connection, "PRAGMA shrink_memory");
    }

    fn replay(&mut self, after: u64, each: &mut dyn FnMut(Numbered)) -> Result<(), LogError> {
        read::replay(&self.connection, after, each).map_err(|error| self.error(&error))
    }

    fn live_changes(&mut self, now: i64) -> Result<Vec<Numbered>, LogError> {
        let now = now.max(self.known.latest);
        read::live_changes(&self.connection, now).map_err(|error| self.error(&error))
    }

    fn prune(&mut self, retention: &Retention, now: i64) -> Result<u64, LogError> {
        self.commit(|connection, _| retention.drop_step(connection, now))
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// Takes the lock that one server at a time has on a store.
fn lock(path: &Path) -> Result<File, LogError> {
    let beside = beside(path, "-lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(&beside).map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                    LogError::ReadOnly { path: path.to_owned() }
                }
                std::io::ErrorKind::NotFound => LogError::NoFolder { path: path.parent().unwrap_or(path).to_owned() },
                std::io::ErrorKind::StorageFull => LogError::Full { path: path.to_owned() },
                _ => LogError::Io { path: beside.clone(), why: error.to_string() },
            }
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(LogError::Io { path: beside, why: error.to_string() }),
    }
}

/// A file that belongs to the store.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What can be seen of a store that is not whole: whether all pages are there and, of one that is not large, in order.
fn fault(connection: &Connection, path: &Path) -> rusqlite::Result<Option<String>> {
    let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    // with the log in its place all pages are in the file; a reader may be in the way, then it is not looked at
    let left: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    let bytes = number("page_count")?.saturating_mul(number("page_size")?);
    let length = fs::metadata(path).map_or(0, |file| i64::try_from(file.len()).unwrap_or(i64::MAX));
    if left == 0 && length < bytes {
        return Ok(Some(format!("{length} bytes, where there were {bytes}")));
    }
    if bytes > QUICK_CHECK_BYTES {
        return Ok(None);
    }
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then(|| found.replace('\n', " ")))
}

/// What an error of SQLite means for the store.
pub(super) fn error_of(path: &Path, error: &rusqlite::Error) -> LogError {
    let path = path.to_owned();
    let why = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => LogError::Corrupt { path, why },
        Some(ErrorCode::NotADatabase) => LogError::NotAStore { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LogError::Locked { path },
        Some(ErrorCode::DiskFull) => LogError::Full { path },
        Some(ErrorCode::ReadOnly) => LogError::ReadOnly { path },
        _ => LogError::Io { path, why },
    }
}

/// The flags of a connection that reads.
pub(super) fn reading() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI
}

/// What makes each version of the schema out of the one before it, and the first out of nothing.
const SCHEMA: [&str; VERSION as usize] = [include_str!("schema.sql"), include_str!("schema.2.sql")];
/// What `PRAGMA application_id` says, `infa` in ASCII.
pub(super) const APPLICATION: i64 = 0x696e_6661;
/// The version of the schema.
pub(super) const VERSION: i64 = 2;
/// How long a write waits for another program that has locked the store: an operator's short query, not a forgotten one.
const PATIENCE: Duration = Duration::from_secs(2);
/// Prepared statements that are kept; there are fewer.
const STATEMENTS: usize = 64;
/// Up to this size the whole store is looked through at the start, in less than a second.
const QUICK_CHECK_BYTES: i64 = 256 << 20;
/// The size of the write-ahead log from which it is moved to its place: small enough for a start after a crash to be
/// quick, large enough for a page that is written often to be moved once.
const CHECKPOINT_BYTES: u64 = 32 << 20;
