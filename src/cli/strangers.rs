//! What a running server does with texts of strangers, over any generation: for the fuzz targets.

use super::lookup;
use super::lookup::visitor::{self, Served};
use crate::http::page::{Found, NoSubject, Subject};
use crate::reload::Plan;
use crate::snapshot::Snapshot;

/// Reads what a visitor of the lookup page wrote.
///
/// # Errors
///
/// It is nothing that a list can be asked about.
pub fn subject(text: &str, snapshot: &Snapshot, plan: &Plan) -> Result<Subject, NoSubject> {
    visitor::subject(text, snapshot, plan)
}

/// What the lookup page shows of a subject.
///
/// # Errors
///
/// A file of the plan cannot be read.
pub fn found(subject: &Subject, snapshot: &Snapshot, plan: &Plan) -> anyhow::Result<Found> {
    let (live, since) = (&|_| Vec::new(), &|_: &str, _: [&str; 2]| None);
    visitor::found(subject, &Served { snapshot, plan, live, generation: 1, since, reports: "" })
}

/// What the control interface says of a subject.
///
/// # Errors
///
/// It is no subject, or a file of the plan cannot be read.
pub fn look_up(text: &str, snapshot: &Snapshot, plan: &Plan) -> anyhow::Result<serde_json::Value> {
    lookup::look_up_json(text, snapshot, plan, &|_| Vec::new())
}
