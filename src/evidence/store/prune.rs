//! How long what was said is kept.
//!
//! Invariant: changes that hold are never dropped, and nothing is dropped in steps larger than [`PRUNE_STEP`], so that
//! writing goes on between them.

use rusqlite::{Connection, params};

/// How long events are kept, by age and by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Seconds that reports are kept.
    pub report_age: u32,
    /// At most so many reports, the latest.
    pub reports: u64,
    /// Seconds that generations, and changes that hold no more, are kept.
    pub audit_age: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { report_age: REPORT_AGE, reports: REPORTS, audit_age: AUDIT_AGE }
    }
}

impl Retention {
    /// Drops one step within the caller's transaction, and says how many rows it was.
    pub(super) fn drop_step(&self, connection: &Connection, now: i64) -> rusqlite::Result<u64> {
        let run = |sql: &str, number: i64| -> rusqlite::Result<u64> {
            Ok(connection.prepare_cached(sql)?.execute(params![number, PRUNE_STEP])? as u64)
        };
        let last: Option<i64> = connection.query_row("SELECT max(number) FROM report", [], |row| row.get(0))?;
        // numbers of reports have few gaps, those of the other events
        let most = i64::try_from(self.reports).unwrap_or(i64::MAX);
        let mut dropped = run(
            "DELETE FROM report WHERE number IN (SELECT number FROM report WHERE number <= ?1 LIMIT ?2)",
            last.unwrap_or(0).saturating_sub(most),
        )?;
        dropped += run(
            // the oldest are those that came first
            "DELETE FROM report WHERE number IN
                (SELECT number FROM (SELECT number, at FROM report ORDER BY number LIMIT ?2) WHERE at < ?1)",
            now.saturating_sub(self.report_age.into()),
        )?;
        dropped += run(
            "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE at < ?1 LIMIT ?2)",
            now.saturating_sub(KEY_AGE),
        )?;
        dropped += run(DROP_CHANGES, now.saturating_sub(self.audit_age.into()))?;
        // the latest stays, as its number is where the next start goes on
        let generation: Option<i64> = connection.query_row(
            "SELECT max(number) FROM generation WHERE at < ?1 AND number < (SELECT max(number) FROM generation)",
            [now.saturating_sub(self.audit_age.into())],
            |row| row.get(0),
        )?;
        let Some(generation) = generation else { return Ok(dropped) };
        let mut parts = 0;
        for table in ["generation_entry", "generation_dataset", "generation_zone"] {
            let sql =
                format!("DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE number <= ?1 LIMIT ?2)");
            parts += run(&sql, generation)?;
        }
        if parts == 0 {
            parts = run(
                "DELETE FROM generation WHERE number IN (SELECT number FROM generation WHERE number <= ?1 LIMIT ?2)",
                generation,
            )?;
        }
        Ok(dropped + parts)
    }
}

/// Changes that hold no more. One that has expired or was withdrawn stays while there is an earlier one of its subject,
/// which would count again without it.
const DROP_CHANGES: &str = "
    DELETE FROM change WHERE number IN (SELECT c.number FROM change c WHERE c.at < ?1 AND CASE
        WHEN c.withdraws IS NOT NULL THEN NOT EXISTS (SELECT 1 FROM change t WHERE t.number = c.withdraws)
        WHEN EXISTS (SELECT 1 FROM change l WHERE l.dataset = c.dataset AND l.subject = c.subject
            AND l.withdraws IS NULL AND l.number > c.number) THEN 1
        ELSE (coalesce(c.expires < ?1, 0)
                OR EXISTS (SELECT 1 FROM change w WHERE w.withdraws = c.number AND w.number > c.number))
            AND NOT EXISTS (SELECT 1 FROM change e WHERE e.dataset = c.dataset AND e.subject = c.subject
                AND e.withdraws IS NULL AND e.number < c.number)
    END LIMIT ?2)";

/// Four hundred days: the method looks a year back for what returns.
const REPORT_AGE: u32 = 400 * 86_400;
/// Some 10 GB.
const REPORTS: u64 = 100_000_000;
/// Long enough to be asked about last year.
const AUDIT_AGE: u32 = 400 * 86_400;
/// A week: nobody asks again later than that whether something has arrived.
const KEY_AGE: i64 = 7 * 86_400;
/// Rows of a table that are dropped in one step: some tens of milliseconds.
const PRUNE_STEP: i64 = 10_000;
