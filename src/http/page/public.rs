//! What visitors ask of the server behind the page.
//!
//! Invariant: no call waits, and none changes what is served: a request for a removal is kept, and that is all.

use std::net::IpAddr;

use super::found::{Found, NoSubject, Subject};
use crate::evidence::Time;
use crate::http::Reply;

/// The server, as far as visitors may ask it.
pub trait Public: Send + Sync {
    /// What is served now.
    fn edition(&self) -> Edition;

    /// Reads what somebody wrote.
    ///
    /// # Errors
    ///
    /// It is nothing that a list can be asked about.
    fn subject(&self, text: &str) -> Result<Subject, NoSubject>;

    /// What zones answer about a subject, and why, as far as visitors may know it.
    fn look_up(&self, subject: &Subject, reply: Reply<Found>);

    /// Whether requests for a removal can be kept.
    fn takes_requests(&self) -> bool;

    /// Keeps a request for a removal; answered when it is durable.
    fn request(&self, removal: Removal, reply: Reply<()>);
}

/// What was served when something was looked up: of two equal ones the answers are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edition {
    /// When the server began, in seconds since 1970: without a state directory generations begin anew with it.
    pub started: u32,
    /// The generation.
    pub generation: u64,
}

/// A request for a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// What is to be removed, in its canonical spelling.
    pub subject: String,
    /// Who asks.
    pub client: IpAddr,
    /// Where to answer.
    pub contact: String,
    /// What is said for it.
    pub text: String,
}

/// A removal that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Of which subject.
    pub subject: String,
    /// By whom, if that is known.
    pub client: Option<IpAddr>,
    /// When.
    pub at: Time,
}
