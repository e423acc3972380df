//! Writing events into tables, within the transaction of whoever asks.
//!
//! Invariant: what is known of the file is true again after [`Writing::keep_all`] has kept nothing.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::event::{Action, DatasetCount, Event, Generation, RemovalRequest, Report, StoredChange, What};
use super::log::{Appended, Conflict};
use super::place::Placed;
use super::sqlite::Known;

/// A transaction that events are written in. What every report needs is looked up once.
pub(super) struct Writing<'w> {
    connection: &'w Connection,
    known: &'w mut Known,
    report: CachedStatement<'w>,
    find_key: CachedStatement<'w>,
    key: CachedStatement<'w>,
    /// Begin of a submission, going back to it, and its end.
    savepoint: [CachedStatement<'w>; 3],
}

impl<'w> Writing<'w> {
    pub(super) fn begin(connection: &'w Connection, known: &'w mut Known) -> rusqlite::Result<Self> {
        let prepare = |sql| connection.prepare_cached(sql);
        Ok(Self {
            connection,
            known,
            // what has no place, as a URL that is none, is found by reading all
            report: prepare(
                "INSERT INTO report (number, time, at, who, source, category, subject, place, weight, text)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ifnull(?8, ''), ?9, ?10)",
            )?,
            find_key: prepare("SELECT number, fingerprint FROM idempotency WHERE key = ?1")?,
            key: prepare("INSERT INTO idempotency (key, number, fingerprint, at) VALUES (?1, ?2, ?3, ?4)")?,
            savepoint: [
                prepare("SAVEPOINT submission")?,
                prepare("ROLLBACK TO submission")?,
                prepare("RELEASE submission")?,
            ],
        })
    }

    /// Keeps a submission, or nothing of it if one of its keys was used for something else.
    pub(super) fn keep_all(&mut self, events: &[Event]) -> rusqlite::Result<Result<Vec<Appended>, Conflict>> {
        let (next, latest) = (self.known.next, self.known.latest);
        self.savepoint[0].execute([])?;
        let mut kept = Vec::with_capacity(events.len());
        for event in events {
            match self.keep(event)? {
                Ok(appended) => kept.push(appended),
                Err(conflict) => {
                    self.savepoint[1].execute([])?;
                    self.savepoint[2].execute([])?;
                    (self.known.next, self.known.latest) = (next, latest);
                    self.known.names.clear();
                    return Ok(Err(conflict));
                }
            }
        }
        self.savepoint[2].execute([])?;
        Ok(Ok(kept))
    }

    /// Writes what the file has to know of itself.
    pub(super) fn end(self) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
        update.execute(params!["next", self.known.next])?;
        update.execute(params!["latest", self.known.latest])?;
        Ok(())
    }

    fn keep(&mut self, event: &Event) -> rusqlite::Result<Result<Appended, Conflict>> {
        if let Some(key) = event.key {
            let fingerprint = event.fingerprint() as i64;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            if let Some((number, first)) = self.find_key.query_row([key.0], read).optional()? {
                let number = number as u64;
                let is_same = first == fingerprint;
                return Ok(if is_same {
                    Ok(Appended { number, is_new: false })
                } else {
                    Err(Conflict { key, number })
                });
            }
            self.key.execute(params![key.0, self.known.next, fingerprint, event.at])?;
        }
        match &event.what {
            What::Report(report) => self.keep_report(event, report)?,
            What::Change(change) => self.keep_change(event, change)?,
            What::Generation(generation) => self.keep_generation(event, generation)?,
            What::Request(request) => self.keep_request(event, request)?,
        }
        let number = self.known.next as u64;
        self.known.next += 1;
        self.known.latest = self.known.latest.max(event.at);
        Ok(Ok(Appended { number, is_new: true }))
    }

    fn keep_report(&mut self, event: &Event, report: &Report) -> rusqlite::Result<()> {
        let Report { time, source, subject, category, weight, text } = report;
        let (who, source, category) = (self.name(&event.who)?, self.name(source)?, self.name(category)?);
        let place = Placed::parse(subject).map(|placed| placed.place);
        self.report.execute(params![
            self.known.next,
            time.0,
            event.at,
            who,
            source,
            category,
            subject,
            place,
            weight,
            text
        ])?;
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
        let number = self.known.next;
        insert.execute(params![
            number, event.at, event.who, dataset, subject, word, a, text, ttl, expires, reason, withdraws
        ])?;
        Ok(())
    }

    fn keep_generation(&self, event: &Event, generation: &Generation) -> rusqlite::Result<()> {
        let (prepare, event_number) = (|sql| self.connection.prepare_cached(sql), self.known.next);
        let Generation { number, cause, datasets, serials, entries } = generation;
        prepare("INSERT INTO generation (number, generation, at, who, cause) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![event_number, *number as i64, event.at, event.who, cause])?;
        let mut insert = prepare(
            "INSERT INTO generation_dataset (number, dataset, before, entries, entered, left, changed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for count in datasets {
            let DatasetCount { dataset, before, entries, entered, left, changed } = count;
            let [before, entries, entered, left, changed] =
                [before, entries, entered, left, changed].map(|count| *count as i64);
            insert.execute(params![event_number, dataset, before, entries, entered, left, changed])?;
        }
        let mut insert = prepare("INSERT INTO generation_zone (number, apex, serial) VALUES (?1, ?2, ?3)")?;
        for (apex, serial) in serials {
            insert.execute(params![event_number, apex, serial])?;
        }
        let mut insert =
            prepare("INSERT INTO generation_entry (number, dataset, subject, moved, why) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for entry in entries {
            insert.execute(params![event_number, entry.dataset, entry.subject, entry.moved.name(), entry.why])?;
        }
        Ok(())
    }

    fn keep_request(&self, event: &Event, request: &RemovalRequest) -> rusqlite::Result<()> {
        let RemovalRequest { subject, contact, text } = request;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO request (number, at, who, subject, contact, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        insert.execute(params![self.known.next, event.at, event.who, subject, contact, text])?;
        Ok(())
    }

    /// The number of a name, which gets one if it has none.
    fn name(&mut self, text: &str) -> rusqlite::Result<i64> {
        if let Some(&id) = self.known.names.get(text) {
            return Ok(id);
        }
        let mut find = self.connection.prepare_cached("SELECT id FROM name WHERE text = ?1")?;
        let id = match find.query_row([text], |row| row.get(0)).optional()? {
            Some(id) => id,
            None => {
                self.connection.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.execute([text])?;
                self.connection.last_insert_rowid()
            }
        };
        if self.known.names.len() >= NAMES {
            self.known.names.clear();
        }
        self.known.names.insert(text.to_owned(), id);
        Ok(id)
    }
}

/// Names that are remembered by number.
const NAMES: usize = 16_384;
