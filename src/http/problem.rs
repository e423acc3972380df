//! What is wrong with a request, as an answer: RFC 9457's `application/problem+json`.
//!
//! Invariant: nothing that a client sent gets into a header, and nothing into a body but as a JSON text.

use axum::Json;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
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
    reported: Option<Reported>,
    headers: HeaderMap,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), reported: None, headers: HeaderMap::new() }
    }

    /// The same, with what became of the reports so far.
    pub(super) fn after(mut self, reported: Reported) -> Self {
        self.reported = Some(reported);
        self
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// The connection ends with the answer, as what is still to come on it is not read.
    pub(super) fn closing(self) -> Self {
        self.with(CONNECTION, "close")
    }

    pub(super) fn unauthorised() -> Self {
        let detail = "a token is needed: send `Authorization: Bearer TOKEN` with one of the tokens file";
        Self::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, "Bearer realm=\"infamy\"").closing()
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
            Refusal::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, "1"),
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
    fn into_response(mut self) -> Response {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let title = self.status.canonical_reason().unwrap_or_default().to_owned();
        let status = self.status.as_u16();
        let details = Details { title, status, detail: self.detail, reported: self.reported };
        (self.status, self.headers, Json(details)).into_response()
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
