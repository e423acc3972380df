//! `[query-log]` and `[dnstap]`: what is told of single queries, and where.

use super::check::at;
use super::error::Source;
use super::spec::{self, LogFormat, Spec};
use crate::query_log::{DnstapSpec, FileSpec, Form, Sample};

/// The query log, if there is one.
pub(super) fn query_log(spec: &Spec, source: &Source<'_>) -> Option<FileSpec> {
    let spec::QueryLog { file, format, sample } = &spec.query_log;
    let form = match format {
        LogFormat::Json => Form::Json,
        LogFormat::Rbldnsd => Form::Rbldnsd,
    };
    let path = Some(at(source, file.as_deref()?));
    Some(FileSpec { path, form, sample: Sample(*sample), is_unbuffered: false })
}

/// The collector, if there is one.
pub(super) fn dnstap(spec: &Spec, source: &Source<'_>) -> Option<DnstapSpec> {
    let spec::Dnstap { socket, identity, sample } = &spec.dnstap;
    let socket = at(source, socket.as_deref()?);
    Some(DnstapSpec { socket, identity: identity.clone(), sample: Sample(*sample) })
}
