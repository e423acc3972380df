//! Who may ask: the checks that come before anything of a request is looked at.
//!
//! Over the Unix socket the kernel says who it is, and the socket's permissions say who may. Over TCP it is a bearer token.
//! Invariant: without one of the two nothing is told but the document of the interface, not even which paths there are.
//!
//! A browser is not a client. A page of another site can make it send requests, which carry `Origin` or `Sec-Fetch-Site`,
//! and a name that changes its address makes our answers that site's, with its name in `Host` (DNS rebinding). Both are
//! refused, besides that no page has a token.

use std::cell::RefCell;
use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{Method, Request, StatusCode, Version};

use super::control::Who;
use super::problem::Problem;
use super::tokens::Tokens;

/// What is checked of all requests of a server.
#[derive(Debug)]
pub(super) struct Guard {
    /// Names of this server besides its addresses.
    pub(super) hosts: Vec<String>,
    pub(super) tokens: Option<RefCell<Tokens>>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// The kernel knows.
    Unix(Who),
    /// Somebody at an address.
    Tcp,
    /// Somebody at an address where there are metrics and nothing else.
    Scraper,
}

impl Guard {
    /// Who asks; none where nobody has to be anybody.
    pub(super) fn admit<B>(&self, request: &Request<B>, peer: &Peer) -> Result<Option<Who>, Problem> {
        if !matches!(request.version(), Version::HTTP_11) {
            let detail = "HTTP/1.1 is spoken here";
            return Err(Problem::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, detail).closing());
        }
        // a proxy's forms of a target: CONNECT, and whole URLs
        let uri = request.uri();
        if request.method() == Method::CONNECT || uri.authority().is_some() || !uri.path().starts_with('/') {
            return Err(Problem::bad("this is no proxy: write the path alone").closing());
        }
        let headers = request.headers();
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            _ => return Err(Problem::bad("one Host header is needed").closing()),
        };
        // what reads counts finds the server under names that nobody wrote down here
        let is_ours = matches!(peer, Peer::Unix(_) | Peer::Scraper) || self.is_ours(host);
        if !is_ours {
            let detail = "Host is none of this server's names: use its address, or write the name into `hosts`";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).closing());
        }
        let from_site = headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
        if headers.contains_key(ORIGIN) || from_site {
            return Err(Problem::new(StatusCode::FORBIDDEN, "requests of web pages are not taken").closing());
        }
        match peer {
            Peer::Unix(who) => Ok(Some(who.clone())),
            Peer::Scraper => Ok(None),
            Peer::Tcp => match self.by_token(request) {
                Some(who) => Ok(Some(who)),
                None if OPEN.contains(&uri.path()) => Ok(None),
                None => Err(Problem::unauthorised()),
            },
        }
    }

    /// Whose token a request has. What there is to do is the same with a wrong one and with none.
    fn by_token<B>(&self, request: &Request<B>) -> Option<Who> {
        let mut all = request.headers().get_all(AUTHORIZATION).iter();
        let one = all.next().filter(|_| all.next().is_none());
        let token = one.map_or(&b""[..], |value| token_of(value.as_bytes()));
        let mut tokens = self.tokens.as_ref()?.borrow_mut();
        if tokens.refresh() {
            match &tokens.error {
                Some(error) => tracing::error!("tokens: nobody is let in over TCP: {error}"),
                None => tracing::info!("tokens read again"),
            }
        }
        tokens.find(token)
    }

    /// Whether a Host header has an address or a name of this server. Addresses are not compared: no page can be
    /// brought from another one under an address.
    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((address, port)) => (address, port),
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        let is_name = |known: &str| known.eq_ignore_ascii_case(name);
        is_port
            && (name.parse::<IpAddr>().is_ok() || is_name("localhost") || self.hosts.iter().any(|host| is_name(host)))
    }
}

/// The token of `Bearer TOKEN` (RFC 6750); empty if it is something else.
fn token_of(value: &[u8]) -> &[u8] {
    match value.split_at_checked(BEARER.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(BEARER) => token.trim_ascii(),
        _ => b"",
    }
}

const BEARER: &[u8] = b"Bearer ";
/// What anybody may see who can connect.
const OPEN: [&str; 1] = ["/openapi.json"];
