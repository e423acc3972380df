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

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::event::{Action, Event, Generation, Numbered, Report, StoredChange, What};
use super::log::{Appended, Conflict, EvidenceLog, LogError};
use super::place::Placed;
use super::prune::Retention;
use super::read;

/// The log in one SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    connection: Connection,
    /// The number of the next event.
    next: i64,
    /// The latest time of an event, or at which the log was asked.
    latest: i64,
    names: HashMap<String, i64>,
    /// Held as long as the log is open.
    _lock: File,
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
        let is_new = !fs::metadata(path).is_ok_and(|file| file.len() > 0);
        let connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        if let Err(error) = read::verify_header(&connection, path, is_new)? {
            return Ok(Err(error));
        }
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA cache_size = -65536; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;",
        )?;
        if is_new {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA}
                 INSERT INTO meta VALUES ('next', 1), ('latest', 0);
                 PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        }
        if let Some(why) = fault(&connection, path)? {
            return Ok(Err(LogError::Corrupt { path: path.to_owned(), why }));
        }
        let meta =
            |name: &str| connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
        let (next, latest) = (meta("next")?, meta("latest")?);
        let names = HashMap::new();
        Ok(Ok(Self { path: path.to_owned(), connection, next, latest, names, _lock: lock }))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, error: &rusqlite::Error) -> LogError {
        error_of(&self.path, error)
    }

    /// Does something in one transaction; nothing is left of it if it fails.
    fn commit<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> Result<T, LogError> {
        let (next, latest) = (self.next, self.latest);
        let all = |log: &mut Self| {
            log.run("BEGIN IMMEDIATE")?;
            let result = work(log)?;
            log.run("COMMIT")?;
            Ok(result)
        };
        all(self).map_err(|error| {
            (self.next, self.latest) = (next, latest);
            self.names.clear();
            if !self.connection.is_autocommit() {
                // whatever it says, the next BEGIN tells whether it went well
                let _ = self.run("ROLLBACK");
            }
            self.error(&error)
        })
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Keeps a submission, or nothing of it if one of its keys was used for something else.
    fn keep_submission(&mut self, events: &[Event]) -> rusqlite::Result<Result<Vec<Appended>, Conflict>> {
        let (next, latest) = (self.next, self.latest);
        self.run("SAVEPOINT submission")?;
        let mut kept = Vec::with_capacity(events.len());
        for event in events {
            match self.keep(event)? {
                Ok(appended) => kept.push(appended),
                Err(conflict) => {
                    self.run("ROLLBACK TO submission")?;
                    self.run("RELEASE submission")?;
                    (self.next, self.latest) = (next, latest);
                    self.names.clear();
                    return Ok(Err(conflict));
                }
            }
        }
        self.run("RELEASE submission")?;
        Ok(Ok(kept))
    }

    fn keep(&mut self, event: &Event) -> rusqlite::Result<Result<Appended, Conflict>> {
        if let Some(key) = event.key {
            let fingerprint = event.fingerprint() as i64;
            let known: Option<(i64, i64)> = self
                .connection
                .prepare_cached("SELECT number, fingerprint FROM idempotency WHERE key = ?1")?
                .query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((number, known)) = known {
                let number = number as u64;
                let is_same = known == fingerprint;
                return Ok(if is_same {
                    Ok(Appended { number, is_new: false })
                } else {
                    Err(Conflict { key, number })
                });
            }
            self.connection
                .prepare_cached("INSERT INTO idempotency (key, number, fingerprint, at) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![key.0, self.next, fingerprint, event.at])?;
        }
        match &event.what {
            What::Report(report) => self.keep_report(event, report)?,
            What::Change(change) => self.keep_change(event, change)?,
            What::Generation(generation) => self.keep_generation(event, generation)?,
        }
        let number = self.next as u64;
        self.next += 1;
        self.latest = self.latest.max(event.at);
        Ok(Ok(Appended { number, is_new: true }))
    }

    fn keep_report(&mut self, event: &Event, report: &Report) -> rusqlite::Result<()> {
        let Report { time, source, subject, category, weight, text } = report;
        let (who, source, category) = (self.name(&event.who)?, self.name(source)?, self.name(category)?);
        // what has no place is found by reading all, as a URL that is none
        let place = Placed::parse(subject).map(|placed| placed.place);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO report (number, time, at, who, source, category, subject, place, weight, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ifnull(?8, ''), ?9, ?10)",
        )?;
        insert.execute(params![self.next, time.0, event.at, who, source, category, subject, place, weight, text])?;
        Ok(())
    }

    fn keep_change(&self, event: &Event, change: &StoredChange) -> rusqlite::Result<()> {
        let StoredChange { dataset, subject, action, expires, reason } = change;
        let (word, a, text, ttl, withdraws) = match action {
            Action::Add { a, text, ttl } => ("add", a.map(|a| a.to_string()), text.as_deref(), *ttl, None),
            Action::Remove => ("remove", None, None, None, None),
            Action::Withdraw { number } => ("withdraw", None, None, None, i64::try_from(*number).ok()),
        };
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO change (number, at, who, dataset, subject, action, a, text, ttl, expires, reason, withdraws)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        insert.execute(params![
            self.next, event.at, event.who, dataset, subject, word, a, text, ttl, expires, reason, withdraws
        ])?;
        Ok(())
    }

    fn keep_generation(&self, event: &Event, generation: &Generation) -> rusqlite::Result<()> {
        let Generation { number, cause, datasets, serials, entries } = generation;
        let connection = &self.connection;
        connection
            .prepare_cached("INSERT INTO generation (number, generation, at, who, cause) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![self.next, *number as i64, event.at, event.who, cause])?;
        for count in datasets {
            let of = [count.entries, count.entered, count.left, count.changed].map(|count| count as i64);
            connection
                .prepare_cached(
                    "INSERT INTO generation_dataset (number, dataset, entries, entered, left, changed)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![self.next, count.dataset, of[0], of[1], of[2], of[3]])?;
        }
        for (apex, serial) in serials {
            connection
                .prepare_cached("INSERT INTO generation_zone (number, apex, serial) VALUES (?1, ?2, ?3)")?
                .execute(params![self.next, apex, serial])?;
        }
        for entry in entries {
            connection
                .prepare_cached(
                    "INSERT INTO generation_entry (number, dataset, subject, moved, why) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![self.next, entry.dataset, entry.subject, entry.moved.name(), entry.why])?;
        }
        Ok(())
    }

    /// The number of a name, which gets one if it has none.
    fn name(&mut self, text: &str) -> rusqlite::Result<i64> {
        if let Some(&id) = self.names.get(text) {
            return Ok(id);
        }
        let known: Option<i64> = self
            .connection
            .prepare_cached("SELECT id FROM name WHERE text = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => {
                self.connection.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.execute([text])?;
                self.connection.last_insert_rowid()
            }
        };
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        self.names.insert(text.to_owned(), id);
        Ok(id)
    }

    fn keep_meta(&self) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
        update.execute(params!["next", self.next])?;
        update.execute(params!["latest", self.latest])?;
        Ok(())
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
        self.commit(|log| {
            let kept = submissions.iter().map(|events| log.keep_submission(events)).collect::<rusqlite::Result<_>>()?;
            log.keep_meta()?;
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

    fn replay(&mut self, after: u64, each: &mut dyn FnMut(Numbered)) -> Result<(), LogError> {
        read::replay(&self.connection, after, each).map_err(|error| self.error(&error))
    }

    fn live_changes(&mut self, now: i64) -> Result<Vec<Numbered>, LogError> {
        let now = now.max(self.latest);
        read::live_changes(&self.connection, now).map_err(|error| self.error(&error))
    }

    fn prune(&mut self, retention: &Retention, now: i64) -> Result<u64, LogError> {
        self.commit(|log| retention.drop_step(&log.connection, now))
    }
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

const SCHEMA: &str = include_str!("schema.sql");
/// What `PRAGMA application_id` says, `infa` in ASCII.
pub(super) const APPLICATION: i64 = 0x696e_6661;
/// The version of the schema.
pub(super) const VERSION: i64 = 1;
/// How long a write waits for another program that has locked the store: an operator's short query, not a forgotten one.
const PATIENCE: Duration = Duration::from_secs(2);
/// Prepared statements that are kept; there are fewer.
const STATEMENTS: usize = 64;
/// Names that are remembered by number.
const NAMES: usize = 16_384;
/// Up to this size the whole store is looked through at the start, in less than a second.
const QUICK_CHECK_BYTES: i64 = 256 << 20;
/// The size of the write-ahead log from which it is moved to its place: small enough for a start after a crash to be
/// quick, large enough for a page that is written often to be moved once.
const CHECKPOINT_BYTES: u64 = 32 << 20;
