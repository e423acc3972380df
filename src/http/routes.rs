//! The paths of the interface, and what each asks of the server behind it.
//!
//! Invariant: this table and the OpenAPI document name the same paths and methods; a test compares them. Every wait has
//! its limit, and a request that is refused has changed nothing, unless its answer says what.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Json, Router};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::api::{
    Action, At, ChangeQuery, ChangeRecord, ChangeRequest, Changed, Diff, DiffQuery, Evidence, EvidenceQuery,
    LookupQuery, MAX_NAME, MAX_ROWS, MAX_SUBJECT, MAX_SUBJECTS, Reloaded, Reported, Status, Traffic, WaitQuery,
};
use super::control::{Control, Refusal, Reply, Until, Who};
use super::intake::{Intake, now};
use super::problem::{Problem, no_such_path};
use crate::evidence::{Time, arf, xarf};
use crate::metrics::MEDIA_TYPE;

/// The interface over a server; `patience` is how long a body, or the next line of one, may take.
pub(super) fn router(control: Arc<dyn Control>, patience: Duration) -> Router {
    let all = routes().into_iter().fold(Router::new(), |router, (_, path, route)| router.route(path, route));
    all.fallback(no_such_path).with_state(Served { control, patience })
}

/// What anybody may see who can connect to an address for metrics.
pub(super) fn metrics_router(control: Arc<dyn Control>) -> Router {
    let missing = || async { Problem::new(StatusCode::NOT_FOUND, "/metrics is all there is here") };
    let served = Served { control, patience: ANSWER };
    Router::new().route("/metrics", get(metrics)).fallback(missing).with_state(served)
}

/// What is behind all paths.
#[derive(Clone)]
pub(super) struct Served {
    control: Arc<dyn Control>,
    patience: Duration,
}

type Shared = State<Served>;
type Answer<T> = Result<Json<T>, Problem>;
type Asked<T> = Result<Query<T>, QueryRejection>;

/// Method, path, and what answers.
pub(super) fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Served>)> {
    vec![
        ("get", "/openapi.json", get(openapi)),
        ("get", "/metrics", get(metrics)),
        ("get", "/v1/status", get(status)),
        ("get", "/v1/traffic", get(traffic)),
        ("post", "/v1/reload", post(reload)),
        ("post", "/v1/datasets/{name}/accept", post(accept)),
        ("post", "/v1/changes", post(change)),
        ("get", "/v1/changes", get(changes)),
        ("delete", "/v1/changes/{number}", delete(withdraw)),
        ("post", "/v1/reports", post(report)),
        ("get", "/v1/evidence", get(evidence)),
        ("get", "/v1/diff", get(diff)),
        ("get", "/v1/lookup", get(lookup)),
    ]
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

async fn status(State(Served { control, .. }): Shared) -> Json<Status> {
    Json(control.status())
}

async fn traffic(State(Served { control, .. }): Shared) -> Json<Traffic> {
    Json(control.traffic())
}

async fn metrics(State(Served { control, .. }): Shared) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], control.metrics()).into_response()
}

async fn reload(
    State(Served { control, .. }): Shared,
    Extension(who): Extension<Who>,
    wait: Asked<WaitQuery>,
) -> Answer<Reloaded> {
    let until = until(wait)?;
    asked(until, |reply| control.reload(&who, until, reply)).await
}

async fn accept(
    State(Served { control, .. }): Shared,
    Extension(who): Extension<Who>,
    name: Result<Path<String>, PathRejection>,
    wait: Asked<WaitQuery>,
) -> Answer<Reloaded> {
    let until = until(wait)?;
    let Path(name) = name.map_err(|_| Problem::bad("the name of a dataset is needed"))?;
    check_text("dataset", &name, MAX_NAME)?;
    asked(until, |reply| control.accept(&who, name, until, reply)).await
}

async fn change(
    State(Served { control, patience }): Shared,
    Extension(who): Extension<Who>,
    wait: Asked<WaitQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Changed> {
    let until = until(wait)?;
    let key = idempotency_key(&headers)?.map(str::to_owned);
    media_type(&headers, &[JSON])?;
    let body = read_whole(&headers, body, patience).await?;
    let mut request: ChangeRequest = serde_json::from_slice(&body).map_err(|error| Problem::bad(error.to_string()))?;
    check_change(&mut request, now())?;
    asked(until, |reply| control.change(&who, request, key, until, reply)).await
}

async fn changes(State(Served { control, .. }): Shared, query: Asked<ChangeQuery>) -> Answer<Vec<ChangeRecord>> {
    let mut query = given(query)?;
    query.limit = Some(query.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS));
    asked(Until::Durable, |reply| control.changes(query, reply)).await
}

async fn withdraw(
    State(Served { control, .. }): Shared,
    Extension(who): Extension<Who>,
    number: Result<Path<u64>, PathRejection>,
    wait: Asked<WaitQuery>,
) -> Answer<Changed> {
    let until = until(wait)?;
    let Path(number) = number.map_err(|_| Problem::bad("a change has a number"))?;
    asked(until, |reply| control.withdraw(&who, number, until, reply)).await
}

async fn report(
    State(Served { control, patience }): Shared,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Reported> {
    let key = idempotency_key(&headers)?.map(str::to_owned);
    let intake = Intake::new(control, who, key);
    match media_type(&headers, &[JSON, "application/x-ndjson", "application/jsonl", "text/csv", MAIL])? {
        JSON => {
            let body = read_whole(&headers, body, patience).await?;
            if xarf::is_xarf(&body) {
                let reports = xarf::read(&body).map_err(|error| Problem::unprocessable(error.to_string()))?;
                return intake.take_reports_whole(reports).await.map(Json);
            }
            let value = serde_json::from_slice(&body).map_err(|error| Problem::bad(error.to_string()))?;
            let all = match value {
                serde_json::Value::Array(all) => all,
                one => vec![one],
            };
            let lines: Vec<Vec<u8>> = all.iter().map(|report| report.to_string().into_bytes()).collect();
            intake.take_lines_whole(&lines).await.map(Json)
        }
        MAIL => {
            let body = read_whole(&headers, body, patience).await?;
            let reports = arf::read(&body).map_err(|error| Problem::unprocessable(error.to_string()))?;
            intake.take_reports_whole(reports).await.map(Json)
        }
        _ => intake.take_stream(body, patience).await.map(Json),
    }
}

async fn evidence(State(Served { control, .. }): Shared, query: Asked<EvidenceQuery>) -> Answer<Evidence> {
    let mut query = given(query)?;
    check_text("subject", &query.subject, MAX_SUBJECT)?;
    query.limit = Some(query.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS));
    asked(Until::Durable, |reply| control.evidence(query, reply)).await
}

async fn diff(State(Served { control, .. }): Shared, query: Asked<DiffQuery>) -> Answer<Diff> {
    let mut query = given(query)?;
    query.limit = Some(query.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS));
    asked(Until::Durable, |reply| control.diff(query, reply)).await
}

async fn lookup(State(Served { control, .. }): Shared, query: Asked<LookupQuery>) -> Answer<serde_json::Value> {
    let LookupQuery { subject } = given(query)?;
    check_text("subject", &subject, MAX_SUBJECT)?;
    asked(Until::Durable, |reply| control.lookup(subject, reply)).await
}

/// Asks the server, and waits for its answer.
async fn asked<T>(until: Until, ask: impl FnOnce(Reply<T>)) -> Answer<T> {
    let limit = match until {
        Until::Durable => ANSWER,
        Until::Served => SERVED,
    };
    let (reply, answer) = Reply::new();
    ask(reply);
    let answer = timeout(limit, answer).await.map_err(|_| Problem::late())?;
    Ok(Json(answer.map_err(|_| Refusal::Ending)??))
}

fn given<T>(query: Asked<T>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|error| Problem::bad(error.body_text()))
}

fn until(wait: Asked<WaitQuery>) -> Result<Until, Problem> {
    Ok(if given(wait)?.wait { Until::Served } else { Until::Durable })
}

/// What can be wrong with a change, besides what it means to its dataset.
fn check_change(request: &mut ChangeRequest, now: Time) -> Result<(), Problem> {
    let ChangeRequest { action, dataset, subjects, value, text, ttl, expires, lifetime, reason } = request;
    check_text("dataset", dataset, MAX_NAME)?;
    if subjects.is_empty() || subjects.len() > MAX_SUBJECTS {
        return Err(Problem::unprocessable(format!("subjects: a change has 1 to {MAX_SUBJECTS}")));
    }
    subjects.iter().try_for_each(|subject| check_text("subjects", subject, MAX_SUBJECT))?;
    for (what, text) in [("text", text.as_ref()), ("reason", reason.as_ref())] {
        text.map_or(Ok(()), |text| check_text(what, text, MAX_SUBJECT))?;
    }
    if *action == Action::Remove && (value.is_some() || text.is_some() || ttl.is_some()) {
        return Err(Problem::unprocessable("value, text, ttl: what is removed has none"));
    }
    match (&expires, lifetime.take()) {
        (Some(_), Some(_)) => return Err(Problem::unprocessable("expires, lifetime: write one of them")),
        (Some(At(at)), None) if *at <= now => return Err(Problem::unprocessable("expires: is past")),
        (Some(_), None) | (None, None) => {}
        (None, Some(0)) => return Err(Problem::unprocessable("lifetime: is 0; write at least 1")),
        (None, Some(seconds)) => *expires = Some(At(Time(now.0.saturating_add(seconds)))),
    }
    Ok(())
}

fn check_text(what: &str, text: &str, most: usize) -> Result<(), Problem> {
    if text.trim().is_empty() || text.len() > most {
        return Err(Problem::unprocessable(format!("{what}: 1 to {most} bytes are possible")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::unprocessable(format!("{what}: has a control character")));
    }
    Ok(())
}

/// The media type of a body, one of those that the path takes.
fn media_type<'t>(headers: &HeaderMap, known: &[&'t str]) -> Result<&'t str, Problem> {
    let wrong = |detail: String| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).closing();
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(wrong("compressed bodies are not taken".to_owned()));
    }
    let written = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let written = written.split(';').next().unwrap_or_default().trim();
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(written));
    found.copied().ok_or_else(|| wrong(format!("Content-Type: write {}", known.join(" or "))))
}

/// The Idempotency-Key, if there is one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all("idempotency-key").iter();
    let Some(first) = all.next() else { return Ok(None) };
    let key = first.as_bytes();
    let is_key = (1..=MAX_KEY).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic) && all.next().is_none();
    let key = first.to_str().ok().filter(|_| is_key);
    key.map(Some).ok_or_else(|| Problem::bad(format!("Idempotency-Key: one of 1 to {MAX_KEY} visible characters")))
}

/// Reads a body that is taken as a whole; one that says that it is too long is not read at all.
async fn read_whole(headers: &HeaderMap, mut body: Body, patience: Duration) -> Result<Vec<u8>, Problem> {
    let claimed = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if claimed.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Problem::too_large(MAX_BODY));
    }
    let read = async {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::bad("the body broke off").closing())?;
            let Ok(chunk) = frame.into_data() else { continue };
            if whole.len() + chunk.len() > MAX_BODY {
                return Err(Problem::too_large(MAX_BODY));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    };
    timeout(patience, read).await.unwrap_or_else(|_| Err(Problem::slow()))
}

/// The document of the interface.
const OPENAPI: &str = include_str!("openapi.json");
const JSON: &str = "application/json";
/// A report by mail.
const MAIL: &str = "message/rfc822";
/// The longest body that is taken as a whole, in bytes: a report with the message that it is about.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// The longest Idempotency-Key: twice a UUID.
const MAX_KEY: usize = 64;
/// How long the server behind may take to answer; the disk is what it waits for.
const ANSWER: Duration = Duration::from_secs(30);
/// How long it may take to serve what was asked: the longest load of lists.
const SERVED: Duration = Duration::from_secs(600);
