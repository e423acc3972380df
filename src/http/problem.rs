//! What is wrong with a request, as an answer: RFC 9457's `application/problem+json`.
//!
//! Invariant: nothing that a client sent gets into a header, and nothing into a body but as a JSON text.

use axum::Json;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::api::Reported;
use super::control::Refusal;

/// The body of every answer that is not 2xx. Its `type` is `about:blank`: the status says what kind it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What the status is called.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What is wrong in this case, and how to mend it.
    pub detail: String,
    /// What became of the reports, where the request had some.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Reported>,
}

/// A refused request.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    reported: Option<Box<Reported>>,
    /// Whether the connection ends with the answer.
    closes: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), reported: None, closes: false }
    }

    /// The same, with what became of the reports so far.
    pub(super) fn after(self, reported: Reported) -> Self {
        Self { reported: Some(Box::new(reported)), ..self }
    }

    /// The connection ends with the answer, as what is still to come on it is not read.
    pub(super) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    pub(super) fn unauthorised() -> Self {
        let detail = "a token is needed: send `Authorization: Bearer TOKEN` with one of the tokens file";
        Self::new(StatusCode::UNAUTHORIZED, detail).closing()
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// What was asked may have been done or not.
    pub(super) fn late() -> Self {
        let detail = "no answer in time; it may have been done: ask again with the same Idempotency-Key";
        Self::new(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// The body did not come in time.
    pub(super) fn slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time").closing()
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("a body has at most {limit} bytes: send reports as a stream of lines");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail).closing()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail),
            Refusal::Missing { .. } => Self::new(StatusCode::NOT_FOUND, detail),
            Refusal::Invalid { .. } => Self::unprocessable(detail),
            Refusal::Conflict => Self::new(StatusCode::CONFLICT, detail),
            Refusal::Storage { .. } => Self::new(StatusCode::INSUFFICIENT_STORAGE, detail),
            Refusal::Off { .. } => Self::new(StatusCode::NOT_IMPLEMENTED, detail),
            Refusal::Ending => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).closing(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail, reported, closes } = self;
        let title = status.canonical_reason().unwrap_or_default().to_owned();
        let details = Details { title, status: status.as_u16(), detail, reported: reported.map(|reported| *reported) };
        let mut response = (status, Json(details)).into_response();
        let mut set = |name, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        set(CONTENT_TYPE, "application/problem+json");
        match status {
            StatusCode::UNAUTHORIZED => set(WWW_AUTHENTICATE, "Bearer realm=\"infamy\""),
            StatusCode::SERVICE_UNAVAILABLE => set(RETRY_AFTER, "1"),
            _ => None,
        };
        if closes {
            set(CONNECTION, "close");
        }
        response
    }
}

/// A path that there is not.
pub(super) async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such path: see /openapi.json")
}

/// What axum answers to a method that a path does not have, as a problem; its `Allow` header stays.
pub(super) fn of_method(response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the path has other methods").into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
