//! Why a visitor does not get what was asked for, in words for the visitor.
//!
//! Invariant: what is told says how to mend it, and nothing of it is what a visitor sent.

use std::time::Duration;

use axum::http::StatusCode;

use super::cooldown::Cooling;
use crate::evidence::Time;
use crate::http::Refusal;

/// A request that is not answered as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// What it comes to, in a few words.
    pub(super) title: &'static str,
    pub(super) why: String,
    /// Seconds after which to try again.
    pub(super) retry: Option<u64>,
    /// The methods that the path has.
    pub(super) allow: Option<&'static str>,
    /// Whether the connection ends with the answer, as what is still to come on it is not read.
    pub(super) closes: bool,
}

impl Refused {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let title = match status {
            StatusCode::BAD_REQUEST => "That cannot be looked up",
            StatusCode::NOT_FOUND => "No such page",
            StatusCode::CONFLICT => "Nothing to ask for",
            StatusCode::TOO_MANY_REQUESTS => "A little too often",
            StatusCode::SERVICE_UNAVAILABLE => "Not at the moment",
            _ => "That did not work",
        };
        Self { status, title, why: why.into(), retry: None, allow: None, closes: false }
    }

    fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    pub(super) fn bad(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// The form for a removal is not filled in so that it can be kept.
    pub(super) fn form(why: impl Into<String>) -> Self {
        Self { title: "The form cannot be sent like this", ..Self::bad(why) }
    }

    pub(super) fn missing() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is no such page. Look something up above.")
    }

    pub(super) fn method(allow: &'static str) -> Self {
        let refused = Self::new(StatusCode::METHOD_NOT_ALLOWED, "This page is only read.");
        Self { allow: Some(allow), ..refused }.closing()
    }

    pub(super) fn often(wait: Duration) -> Self {
        let refused =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests came from your network. Wait a little.");
        Self { retry: Some(wait.as_secs() + 1), ..refused }
    }

    pub(super) fn busy() -> Self {
        let refused = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Too many are looking something up. Try again soon.");
        Self { retry: Some(2), ..refused }
    }

    pub(super) fn other_site() -> Self {
        let why = "Only the form of this page can ask for a removal, and your browser did not say that it did.";
        Self::new(StatusCode::FORBIDDEN, why).closing()
    }

    pub(super) fn media() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Only the form of this page is read.").closing()
    }

    pub(super) fn large() -> Self {
        let why = "That is too long: say it in fewer words.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, why).closing()
    }

    pub(super) fn broken() -> Self {
        Self::form("The form did not arrive whole. Send it again.").closing()
    }

    pub(super) fn slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "The form did not arrive in time. Send it again.").closing()
    }

    pub(super) fn cooling(cooling: Cooling, now: Time) -> Self {
        let (status, what, until) = match cooling {
            Cooling::Subject { until } => (
                StatusCode::TOO_MANY_REQUESTS,
                "This removal has been asked for already. It can be asked for again",
                until,
            ),
            Cooling::Network { until } => (
                StatusCode::TOO_MANY_REQUESTS,
                "Your network has asked for several removals already. More can be asked for",
                until,
            ),
            Cooling::Everybody { until } => {
                let what = "So many removals were asked for that no more is taken now. More can be asked for";
                (StatusCode::SERVICE_UNAVAILABLE, what, until)
            }
        };
        let retry = Some(until.0.saturating_sub(now.0).into());
        Self { retry, ..Self::new(status, format!("{what} from {until} on.")) }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy | Refusal::Ending => Self::busy(),
            Refusal::Invalid { .. } | Refusal::Missing { .. } => Self::bad("This cannot be looked up."),
            // what is wrong with a disk or a list is for the log and not for strangers
            Refusal::Conflict | Refusal::Storage { .. } | Refusal::Off { .. } => {
                let why = "This server cannot do that at the moment. Try again later.";
                Self { retry: Some(60), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, why) }
            }
        }
    }
}
