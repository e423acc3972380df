//! Reading a store: beside the server that writes to it, and by that server itself.
//!
//! Invariant: a [`Reader`] changes nothing, and sees the store as it was at one moment throughout each call.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::super::{Collector, Speech, Statement, Subject, Time};
use super::event::{
    Action, DatasetCount, Event, Generation, GenerationEntry, Moved, Numbered, RemovalRequest, Report, StoredChange,
    What,
};
use super::log::LogError;
use super::place::Scope;
use super::sqlite::{APPLICATION, VERSION, beside, error_of, reading};

/// A connection that reads.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

/// A generation without what moved.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationSummary {
    /// When it was published, a Unix time in seconds.
    pub at: i64,
    /// Who made it come.
    pub who: String,
    /// The generation; its entries are left out.
    pub generation: Generation,
}

impl Reader {
    /// Opens a store, whether a server has it open or not.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let error = |error: rusqlite::Error| error_of(path, &error);
        if let Err(why) = fs::metadata(path) {
            return Err(LogError::Io { path: path.to_owned(), why: why.to_string() });
        }
        let open = |uri: &str| {
            let connection = Connection::open_with_flags(uri, reading())?;
            let verified = verify_header(&connection, path, VERSION)?;
            Ok(verified.map(|()| connection))
        };
        let uri = uri(path);
        let connection = match open(&uri) {
            // who may not write to the folder can read a store that nobody has open as if it could not change
            Err(_) if !beside(path, "-wal").exists() => open(&format!("{uri}?immutable=1")).map_err(error)??,
            opened => opened.map_err(error)??,
        };
        Ok(Self { path: path.to_owned(), connection })
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LogError> {
        let whole = || {
            let transaction = self.connection.unchecked_transaction()?;
            work(&transaction)
        };
        whole().map_err(|error| error_of(&self.path, &error))
    }

    /// Hands all reports up to a time to a collector, as a file of them would be read.
    ///
    /// # Errors
    ///
    /// The store cannot be read to its end.
    pub fn collect(&self, at: Time, collector: &mut Collector) -> Result<(), LogError> {
        self.read(|connection| {
            let mut names = std::collections::HashMap::new();
            let mut read = connection.prepare("SELECT id, text FROM name")?;
            let mut rows = read.query([])?;
            while let Some(row) = rows.next()? {
                names.insert(row.get::<_, i64>(0)?, row.get::<_, String>(1)?);
            }
            let mut read = connection.prepare(
                "SELECT time, source, category, subject, weight FROM report WHERE time <= ?1 ORDER BY number",
            )?;
            let mut rows = read.query([at.0])?;
            let nameless = String::new();
            while let Some(row) = rows.next()? {
                let name = |id: i64| names.get(&id).unwrap_or(&nameless);
                let (source, category) = (name(row.get(1)?), name(row.get(2)?));
                let subject = row.get_ref(3)?.as_bytes().map_err(rusqlite::Error::from)?;
                let Some(subject) = Subject::parse(subject) else { continue };
                // one too many, as in a file; what is kept was taken while there was room
                let Some(source) = collector.sources.find_or_add(source) else { continue };
                let family = collector.sources.family(source, category);
                let (begin, weight, speech) = (Time(row.get(0)?), row.get(4)?, Speech::Stream);
                collector.add(Statement { source, family, subject, begin, end: Some(begin), weight, speech });
            }
            Ok(())
        })
    }

    /// The latest reports of what touches a scope since a time, at most `limit`, sorted by their times.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn reports(&self, scope: &Scope, since: Time, limit: usize) -> Result<Vec<Numbered>, LogError> {
        self.read(|connection| {
            let mut found: Vec<Numbered> = Vec::new();
            let mut by_place = connection.prepare(&format!(
                "{REPORT} WHERE r.number >> 16 = ?1 AND r.place BETWEEN ?2 AND ?3 AND r.time >= ?4"
            ))?;
            let number = |which: &str| {
                let sql = format!("SELECT coalesce({which}(number), 0) FROM report");
                connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
            };
            let ranges = scope.ranges();
            for part in number("min")? >> 16..=number("max")? >> 16 {
                for (first, last) in &ranges {
                    let mut rows = by_place.query(params![part, first, last, since.0])?;
                    while let Some(row) = rows.next()? {
                        let report = report_of(row)?;
                        if matches!(&report.event.what, What::Report(report) if scope.touches(&report.subject)) {
                            found.push(report);
                        }
                    }
                }
                keep_latest(&mut found, limit);
            }
            found.sort_by_key(order);
            Ok(found)
        })
    }

    /// All changes in the order of their numbers, withdrawals of them included.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn all_changes(&self) -> Result<Vec<Numbered>, LogError> {
        self.read(|connection| changes(connection, &format!("{CHANGE} ORDER BY c.number"), &[]))
    }

    /// Those of [`Self::all_changes`] that touch a scope.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn changes(&self, scope: &Scope) -> Result<Vec<Numbered>, LogError> {
        let mut all = self.all_changes()?;
        all.retain(|change| matches!(&change.event.what, What::Change(change) if scope.touches(&change.subject)));
        Ok(all)
    }

    /// The changes that hold at a Unix time in seconds, as [`super::EvidenceLog::live_changes`] has them.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn live_changes(&self, now: i64) -> Result<Vec<Numbered>, LogError> {
        self.read(|connection| {
            let latest: i64 =
                connection.query_row("SELECT value FROM meta WHERE name = 'latest'", [], |row| row.get(0))?;
            live_changes(connection, now.max(latest))
        })
    }

    /// The generations after `from` up to `to`, the first `limit` of them in their order.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn generations(&self, from: u64, to: u64, limit: usize) -> Result<Vec<GenerationSummary>, LogError> {
        self.read(|connection| {
            let mut read = connection.prepare(
                "SELECT number FROM generation WHERE generation > ?1 AND generation <= ?2
                 ORDER BY generation, number LIMIT ?3",
            )?;
            let numbers = read
                .query_map([bound(from), bound(to), bound(limit as u64)], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<i64>>>()?;
            numbers.into_iter().map(|number| generation(connection, number)).collect()
        })
    }

    /// What moved in a dataset, or in all, from one generation until another: those after `from` up to `to`.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn moved(&self, dataset: Option<&str>, from: u64, to: u64) -> Result<Vec<(u64, GenerationEntry)>, LogError> {
        self.read(|connection| {
            let mut read = connection.prepare(
                "SELECT g.generation, e.dataset, e.subject, e.moved, e.why
                 FROM generation g JOIN generation_entry e ON e.number = g.number
                 WHERE g.generation > ?1 AND g.generation <= ?2 AND (?3 IS NULL OR e.dataset = ?3)
                 ORDER BY g.generation, e.rowid",
            )?;
            let rows = read.query_map(params![bound(from), bound(to), dataset], |row| {
                Ok((row.get::<_, i64>(0)? as u64, entry_of(row, 1)?))
            })?;
            rows.collect()
        })
    }

    /// The latest requests for a removal since a Unix time in seconds, at most `limit`, in their order.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn requests(&self, since: i64, limit: usize) -> Result<Vec<Numbered>, LogError> {
        self.read(|connection| {
            let mut read = connection.prepare(&format!("{REQUEST} WHERE at >= ?1 ORDER BY number DESC LIMIT ?2"))?;
            let rows = read.query_map([since, bound(limit as u64)], request_of)?;
            let mut all = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            all.reverse();
            Ok(all)
        })
    }

    /// When one of these subjects entered a dataset last, a Unix time in seconds, as far as the latest
    /// 200,000 of what moved tell.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn entered(&self, dataset: &str, subjects: [&str; 2]) -> Result<Option<i64>, LogError> {
        self.read(|connection| {
            let mut read = connection.prepare_cached(
                "SELECT max(g.at) FROM generation_entry e JOIN generation g ON g.number = e.number
                 WHERE e.rowid > (SELECT coalesce(max(rowid), 0) FROM generation_entry) - ?1
                     AND e.dataset = ?2 AND e.subject IN (?3, ?4) AND e.moved = 'entered'",
            )?;
            read.query_row(params![ENTRIES_LOOKED_AT, dataset, subjects[0], subjects[1]], |row| row.get(0))
        })
    }

    /// Hands on all events with a higher number, as [`super::EvidenceLog::replay`] does.
    ///
    /// # Errors
    ///
    /// The store cannot be read to its end.
    pub fn replay(&self, after: u64, each: &mut dyn FnMut(Numbered)) -> Result<(), LogError> {
        self.read(|connection| replay(connection, after, each))
    }
}

/// Hands all reports of a store up to a time to a collector; a store that nobody has made yet has none.
///
/// # Errors
///
/// The store cannot be read to its end.
pub fn collect_reports(path: &Path, at: Time, collector: &mut Collector) -> Result<(), LogError> {
    if !path.exists() {
        return Ok(());
    }
    Reader::open(path)?.collect(at, collector)
}

/// A number as SQLite has it.
fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether a file is a store that this program knows, of that version at least; where there is no least one, a file
/// with nothing in it is one too.
pub(super) fn verify_header(
    connection: &Connection,
    path: &Path,
    oldest: i64,
) -> rusqlite::Result<Result<(), LogError>> {
    let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let (application, found) = (number("application_id")?, number("user_version")?);
    let has_any = || connection.prepare("SELECT 1 FROM sqlite_master").and_then(|mut read| read.exists([]));
    let path = path.to_owned();
    Ok(match application {
        APPLICATION if found > VERSION => Err(LogError::Newer { path, found, known: VERSION }),
        APPLICATION if found < oldest => Err(LogError::Older { path, found, known: VERSION }),
        APPLICATION => Ok(()),
        // one that is being made, or whose making was broken off
        0 if oldest == 0 && found == 0 && !has_any()? => Ok(()),
        _ => Err(LogError::NotAStore { path }),
    })
}

pub(super) fn replay(connection: &Connection, after: u64, each: &mut dyn FnMut(Numbered)) -> rusqlite::Result<()> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut read = connection.prepare(
        "SELECT number, 0 FROM report WHERE number > ?1 UNION ALL SELECT number, 1 FROM change WHERE number > ?1
         UNION ALL SELECT number, 2 FROM generation WHERE number > ?1
         UNION ALL SELECT number, 3 FROM request WHERE number > ?1 ORDER BY number",
    )?;
    let mut report = connection.prepare(&format!("{REPORT} WHERE r.number = ?1"))?;
    let mut change = connection.prepare(&format!("{CHANGE} WHERE c.number = ?1"))?;
    let mut request = connection.prepare(&format!("{REQUEST} WHERE number = ?1"))?;
    let mut rows = read.query([after])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        each(match row.get::<_, i64>(1)? {
            0 => report.query_row([number], report_of)?,
            1 => change.query_row([number], change_of)?,
            3 => request.query_row([number], request_of)?,
            _ => {
                let GenerationSummary { at, who, mut generation } = generation(connection, number)?;
                generation.entries = connection
                    .prepare_cached(
                        "SELECT dataset, subject, moved, why FROM generation_entry WHERE number = ?1 ORDER BY rowid",
                    )?
                    .query_map([number], |row| entry_of(row, 0))?
                    .collect::<rusqlite::Result<_>>()?;
                numbered(number, at, who, What::Generation(generation))
            }
        });
    }
    Ok(())
}

pub(super) fn live_changes(connection: &Connection, now: i64) -> rusqlite::Result<Vec<Numbered>> {
    let sql = format!(
        "{CHANGE} WHERE c.withdraws IS NULL AND (c.expires IS NULL OR c.expires > ?1)
            AND NOT EXISTS (SELECT 1 FROM change w WHERE w.withdraws = c.number AND w.number > c.number)
            AND NOT EXISTS (SELECT 1 FROM change l WHERE l.dataset = c.dataset AND l.subject = c.subject
                AND l.withdraws IS NULL AND l.number > c.number)
         ORDER BY c.number"
    );
    changes(connection, &sql, &[&now])
}

fn changes(connection: &Connection, sql: &str, bound: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Vec<Numbered>> {
    connection.prepare(sql)?.query_map(bound, change_of)?.collect()
}

fn numbered(number: i64, at: i64, who: String, what: What) -> Numbered {
    // a key is for whoever asks again, not for whoever reads
    Numbered { number: number as u64, event: Event { key: None, at, who, what } }
}

fn report_of(row: &Row<'_>) -> rusqlite::Result<Numbered> {
    let report = Report {
        time: Time(row.get(3)?),
        source: row.get(4)?,
        subject: row.get(5)?,
        category: row.get(6)?,
        weight: row.get(7)?,
        text: row.get(8)?,
    };
    Ok(numbered(row.get(0)?, row.get(1)?, row.get(2)?, What::Report(report)))
}

fn change_of(row: &Row<'_>) -> rusqlite::Result<Numbered> {
    let word: String = row.get(5)?;
    let action = match &*word {
        "add" => {
            let a: Option<String> = row.get(6)?;
            let a = a.map(|a| a.parse::<Ipv4Addr>().map_err(|_| wrong(6, "a"))).transpose()?;
            Action::Add { a, text: row.get(7)?, ttl: row.get(8)? }
        }
        "remove" => Action::Remove,
        "withdraw" => Action::Withdraw { number: row.get::<_, i64>(11)? as u64 },
        _ => return Err(wrong(5, "action")),
    };
    let change =
        StoredChange { dataset: row.get(3)?, subject: row.get(4)?, action, expires: row.get(9)?, reason: row.get(10)? };
    Ok(numbered(row.get(0)?, row.get(1)?, row.get(2)?, What::Change(change)))
}

fn request_of(row: &Row<'_>) -> rusqlite::Result<Numbered> {
    let request = RemovalRequest { subject: row.get(3)?, contact: row.get(4)?, text: row.get(5)? };
    Ok(numbered(row.get(0)?, row.get(1)?, row.get(2)?, What::Request(request)))
}

fn generation(connection: &Connection, number: i64) -> rusqlite::Result<GenerationSummary> {
    let mut summary = connection
        .prepare_cached("SELECT generation, at, who, cause FROM generation WHERE number = ?1")?
        .query_row([number], |row| {
            let generation =
                Generation { number: row.get::<_, i64>(0)? as u64, cause: row.get(3)?, ..Generation::default() };
            Ok(GenerationSummary { at: row.get(1)?, who: row.get(2)?, generation })
        })?;
    summary.generation.datasets = connection
        .prepare_cached(
            "SELECT dataset, before, entries, entered, left, changed FROM generation_dataset
             WHERE number = ?1 ORDER BY rowid",
        )?
        .query_map([number], |row| {
            let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
            Ok(DatasetCount {
                dataset: row.get(0)?,
                before: count(1)?,
                entries: count(2)?,
                entered: count(3)?,
                left: count(4)?,
                changed: count(5)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    summary.generation.serials = connection
        .prepare_cached("SELECT apex, serial FROM generation_zone WHERE number = ?1 ORDER BY rowid")?
        .query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(summary)
}

fn entry_of(row: &Row<'_>, from: usize) -> rusqlite::Result<GenerationEntry> {
    let word: String = row.get(from + 2)?;
    let moved = Moved::ALL.into_iter().find(|moved| moved.name() == word).ok_or_else(|| wrong(from + 2, "moved"))?;
    Ok(GenerationEntry { dataset: row.get(from)?, subject: row.get(from + 1)?, moved, why: row.get(from + 3)? })
}

fn wrong(column: usize, name: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, name.to_owned(), Type::Text)
}

fn order(one: &Numbered) -> (Time, u64) {
    match &one.event.what {
        What::Report(report) => (report.time, one.number),
        _ => (Time(0), one.number),
    }
}

/// Keeps memory within twice the limit while reports are found.
fn keep_latest(found: &mut Vec<Numbered>, limit: usize) {
    if found.len() > limit {
        found.sort_by_key(order);
        found.drain(..found.len() - limit);
    }
}

/// The path as SQLite's URI, in which three characters mean something.
fn uri(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{text}")
}

/// What moved that is looked through for one subject: some tens of milliseconds.
const ENTRIES_LOOKED_AT: i64 = 200_000;
const REQUEST: &str = "SELECT number, at, who, subject, contact, text FROM request";
const REPORT: &str = "
    SELECT r.number, r.at, who.text, r.time, source.text, r.subject, category.text, r.weight, r.text
    FROM report r JOIN name who ON who.id = r.who JOIN name source ON source.id = r.source
        JOIN name category ON category.id = r.category";
const CHANGE: &str = "
    SELECT c.number, c.at, c.who, c.dataset, c.subject, c.action, c.a, c.text, c.ttl, c.expires, c.reason, c.withdraws
    FROM change c";
