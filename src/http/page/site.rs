//! The page's paths, and what each is answered with.
//!
//! | path | answers |
//! |---|---|
//! | `/` | the form; with `?q=` the way to `/q/<subject>` |
//! | `/q/<subject>` | what is known of it, as HTML, or as JSON to whoever accepts that alone |
//! | `/q/<subject>?format=json` | the same as JSON |
//! | `/q/<subject>.json` | that too, but for URLs, which may end so themselves |
//! | `POST /q/<subject>` | takes a request for a removal |
//! | `/robots.txt` | keeps crawlers from looking up the Internet |
//!
//! Invariant: whatever comes is answered with a page that says what is wrong, and with the same headers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH,
    LOCATION, ORIGIN, REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::Response;
use hyper::body::Incoming;
use maud::Markup;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::door::{Answers, Caller};
use super::super::intake::now;
use super::super::{Details, Refusal, Reply};
use super::cooldown::Cooldowns;
use super::found::{Found, Kind, Standing, Subject};
use super::html::{self, Look, Page};
use super::kept::{Issue, Kept};
use super::public::{Public, Removal, Requested};
use super::rate::Rates;
use super::refusal::Refused;
use super::{BODY, Listen, form};
use crate::evidence::{Time, Written};
use crate::server::connections::Place;

/// The page.
pub(in crate::http) struct Site {
    listen: Listen,
    look: Look,
    public: Arc<dyn Public>,
    rates: RefCell<Rates>,
    cooldowns: RefCell<Cooldowns>,
    kept: RefCell<Kept>,
    lookups: Semaphore,
}

impl Answers for Site {
    // the place is never held: a stranger's request must not keep out others
    async fn respond(&self, request: Request<Incoming>, caller: &Caller, _: &Place) -> Response {
        let uri = request.uri();
        let is_json = uri.path().ends_with(JSON_SUFFIX) || names_json(uri) || wants_json(request.headers());
        let mut response = match self.answer(request, caller).await {
            Ok(response) => response,
            Err(refused) => self.refuse(refused, is_json),
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, self.look.policy.clone());
        for (name, value) in ALWAYS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

impl Site {
    /// The page of a server; `requested` is what was asked for lately.
    pub(in crate::http) fn new(listen: Listen, public: Arc<dyn Public>, requested: Vec<Requested>) -> Self {
        Self {
            look: Look::of(&listen),
            rates: RefCell::new(Rates::new(listen.requests)),
            cooldowns: RefCell::new(Cooldowns::new(listen.cooldown, requested)),
            kept: RefCell::new(Kept::default()),
            lookups: Semaphore::new(LOOKUPS),
            public,
            listen,
        }
    }

    async fn answer(&self, request: Request<Incoming>, caller: &Caller) -> Result<Response, Refused> {
        let forwarded = request.headers().get_all("x-forwarded-for").iter();
        let forwarded: Vec<&str> = forwarded.filter_map(|value| value.to_str().ok()).collect();
        let client = self.listen.client(caller.client, &forwarded);
        self.rates.borrow_mut().take(client, Instant::now()).map_err(Refused::often)?;
        let path = request.uri().path();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if let Some(written) = path.strip_prefix("/q/") {
            let written = form::decoded(written).ok_or_else(|| Refused::bad("The address is no text in UTF-8."))?;
            return match request.method() {
                _ if is_read => self.show(&written, request.uri(), request.headers()).await,
                &Method::POST => self.take(&written, request, client).await,
                _ => Err(Refused::method("GET, HEAD, POST")),
            };
        }
        match path {
            _ if !is_read => Err(Refused::method("GET, HEAD")),
            "/" => self.begin(request.uri().query().unwrap_or_default()),
            "/robots.txt" => Ok(text("text/plain; charset=utf-8", ROBOTS)),
            _ => Err(Refused::missing()),
        }
    }

    /// The form, or the way to what was written into it.
    fn begin(&self, query: &str) -> Result<Response, Refused> {
        let Some(written) = form::field(query, "q").filter(|written| !written.trim().is_empty()) else {
            let mut response = page(StatusCode::OK, html::begin(&self.look));
            response.headers_mut().insert(CACHE_CONTROL, fresh(MAX_AGE));
            return Ok(response);
        };
        Ok(see(&self.subject(&written)?))
    }

    fn subject(&self, written: &str) -> Result<Subject, Refused> {
        let written = written.trim();
        if written.len() > MAX_SUBJECT {
            return Err(Refused::bad("This is too long to be looked up."));
        }
        self.public.subject(written).map_err(|error| Refused::bad(error.to_string()))
    }

    /// The subject that a path ends in, less the `.json` that can be no part of it.
    fn subject_of<'w>(&self, written: &'w str) -> Result<(Subject, &'w str), Refused> {
        let is_url = || self.subject(written).is_ok_and(|subject| subject.kind == Kind::Url);
        let bare = written.strip_suffix(JSON_SUFFIX).filter(|_| !is_url()).unwrap_or(written);
        Ok((self.subject(bare)?, bare))
    }

    async fn show(&self, written: &str, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refused> {
        let (subject, bare) = self.subject_of(written)?;
        let by_name = bare != written || names_json(uri);
        // one page a subject, so that caches and links have one too
        if subject.text != bare && !by_name {
            return Ok(see(&subject));
        }
        let is_json = by_name || wants_json(headers);
        let (issue, requested) = (self.issue(), self.cooldowns.borrow_mut().requested(&subject.text, now()));
        let tag = tag(issue, requested, is_json);
        let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| has_tag(known, &tag));
        // for a 304 too: its max-age is that of what was found
        let found = self.find(&subject, issue).await?;
        let mut response = match (is_known, is_json) {
            (true, _) => {
                let mut response = text("", "");
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            (false, true) => text("application/json", &serde_json::to_string(&*found).unwrap_or_default()),
            (false, false) => {
                let page = Page { found: &found, requested, takes_requests: self.takes(&found) };
                self::page(StatusCode::OK, html::result(&self.look, &page))
            }
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, fresh(max_age(&found, now())));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        Ok(response)
    }

    /// Takes a request for a removal.
    async fn take(
        &self,
        written: &str,
        request: Request<Incoming>,
        client: std::net::IpAddr,
    ) -> Result<Response, Refused> {
        let (head, body) = request.into_parts();
        if !self.is_own(&head.headers) {
            return Err(Refused::other_site());
        }
        let (subject, _) = self.subject_of(written)?;
        let form = form::read(&head.headers, body, BODY).await?;
        let [contact, said] = ["contact", "text"].map(|name| form::field(&form, name).unwrap_or_default());
        let contact = contact.trim().to_owned();
        // one mailbox, by the rules of those that are looked up, and nothing around it
        let mailbox = self.public.subject(&contact).ok().filter(|read| read.kind == Kind::Mailbox);
        if contact.len() > MAX_CONTACT || mailbox.is_none_or(|read| read.text != contact.to_lowercase()) {
            return Err(Refused::form(
                "One e-mail address is needed, like anna@example.com, so that the operator can answer you. Go back and \
                 mend it.",
            ));
        }
        let said: String = said.trim().chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        let length = said.chars().count();
        if length == 0 {
            return Err(Refused::form(
                "Say in some sentences what was wrong and what has changed. Go back and add it.",
            ));
        }
        if length > MAX_TEXT {
            let why = format!(
                "There is room for {MAX_TEXT} characters, and these are {length}. Go back and say it in fewer."
            );
            return Err(Refused::form(why));
        }
        let found = self.find(&subject, self.issue()).await?;
        if !self.takes(&found) {
            let why = match found.standing {
                Standing::None => "Nothing is listed here that could be removed.",
                _ => "Requests for a removal are not taken here. Ask the operator of the lists.",
            };
            return Err(Refused::new(StatusCode::CONFLICT, why));
        }
        let at = now();
        let check = self.cooldowns.borrow_mut().check(&subject.text, client, at);
        check.map_err(|cooling| Refused::cooling(cooling, at))?;
        // before it is durable, so that two at once are not both taken
        let requested = Requested { subject: subject.text.clone(), client: Some(client), at };
        self.cooldowns.borrow_mut().take(requested);
        let removal = Removal { subject: subject.text.clone(), client, contact, text: said };
        let kept = asked(|reply| self.public.request(removal, reply)).await;
        if kept.is_err() {
            self.cooldowns.borrow_mut().give_back(&subject.text);
        }
        kept.map(|()| see(&subject))
    }

    /// Whether a form was sent from a page of this server (Fetch, sections 2.2.3 and 3.2; Fetch Metadata).
    fn is_own(&self, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get("sec-fetch-site") {
            return site == "same-origin";
        }
        let (Some(origin), Some(host)) = (headers.get(ORIGIN), headers.get(HOST)) else { return false };
        let (origin, host) = (origin.to_str().unwrap_or_default(), host.to_str().unwrap_or_default());
        let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        bare.is_some_and(|name| name.eq_ignore_ascii_case(host)) || self.listen.url.as_deref() == Some(origin)
    }

    /// Whether a removal of what was found can be asked for.
    fn takes(&self, found: &Found) -> bool {
        self.listen.removal && found.standing > Standing::None && self.public.takes_requests()
    }

    fn issue(&self) -> Issue {
        (self.public.edition(), now().0 / 3600)
    }

    async fn find(&self, subject: &Subject, issue: Issue) -> Result<Rc<Found>, Refused> {
        if let Some(found) = self.kept.borrow().find(issue, &subject.text) {
            return Ok(found);
        }
        let permit = timeout(PATIENCE, self.lookups.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(Refused::busy()) };
        // another who asked for the same may have had it looked up meanwhile
        if let Some(found) = self.kept.borrow().find(issue, &subject.text) {
            return Ok(found);
        }
        let found = Rc::new(asked(|reply| self.public.look_up(subject, reply)).await?);
        self.kept.borrow_mut().keep(issue, found.clone());
        Ok(found)
    }

    fn refuse(&self, refused: Refused, is_json: bool) -> Response {
        let Refused { status, title, why, retry, allow, closes } = refused;
        let mut response = match is_json {
            true => {
                let title = status.canonical_reason().unwrap_or_default().to_owned();
                let details = Details { title, status: status.as_u16(), detail: why, reported: None };
                let body = serde_json::to_string(&details).unwrap_or_default();
                let mut response = text("application/problem+json", &body);
                *response.status_mut() = status;
                response
            }
            false => page(status, html::refusal(&self.look, title, &why)),
        };
        let headers = response.headers_mut();
        if let Some(seconds) = retry {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Asks the server, and waits for its answer.
async fn asked<T>(ask: impl FnOnce(Reply<T>)) -> Result<T, Refused> {
    let (reply, answer) = Reply::new();
    ask(reply);
    let answer = timeout(ANSWER, answer).await.map_err(|_| Refused::busy())?;
    Ok(answer.map_err(|_| Refusal::Ending)??)
}

/// Whether an address names JSON: the one way that is right for every subject.
fn names_json(uri: &Uri) -> bool {
    form::field(uri.query().unwrap_or_default(), "format").is_some_and(|format| format == "json")
}

/// Whether JSON is accepted, and HTML is not.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepts = |media: &str| {
        let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        accepted.any(|value| value.contains(media))
    };
    accepts("application/json") && !accepts("text/html")
}

/// The tag of an answer: other content has another one. It is a weak one, as the time of the lookup is in the page.
fn tag((edition, hour): Issue, requested: Option<Time>, is_json: bool) -> String {
    let (form, requested) = (if is_json { 'j' } else { 'h' }, requested.map_or(0, |at| at.0));
    format!("W/\"{:x}-{:x}-{hour:x}-{requested:x}-{form}\"", edition.started, edition.generation)
}

/// Whether `If-None-Match` has a tag, or `*`, which any has (RFC 9110, section 13.1.2, by weak comparison).
fn has_tag(known: &HeaderValue, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = known.to_str().unwrap_or_default();
    known.trim() == "*" || known.split(',').any(|known| strong(known) == strong(tag))
}

/// The way to a subject's page.
fn see(subject: &Subject) -> Response {
    let mut response = text("text/plain; charset=utf-8", "");
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(to) = HeaderValue::from_str(&format!("/q/{}", form::encoded(&subject.text))) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn page(status: StatusCode, markup: Markup) -> Response {
    let mut response = text("text/html; charset=utf-8", &markup.into_string());
    *response.status_mut() = status;
    response
}

fn text(media: &'static str, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    if !media.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    }
    response
}

fn fresh(seconds: u32) -> HeaderValue {
    HeaderValue::from_str(&format!("public, max-age={seconds}")).unwrap_or(HeaderValue::from_static("no-cache"))
}

/// Seconds for which caches may keep what was found: until the first of it ends, as far as that is known to the second.
fn max_age(found: &Found, now: Time) -> u32 {
    let reasons = found.zones.iter().flat_map(|zone| &zone.why);
    let ends = reasons.filter_map(|reason| match Written::parse(reason.until.as_deref()?.as_bytes())? {
        Written::Second(end) => Some(end.0.saturating_sub(now.0)),
        Written::Day(_) => None,
    });
    ends.min().unwrap_or(MAX_AGE).min(MAX_AGE)
}

/// What every answer says besides its content policy.
const ALWAYS: [(HeaderName, &str); 2] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // to none at all browsers would not tell where a form was sent from
    (REFERRER_POLICY, "same-origin"),
];
/// The most seconds for which caches may keep an answer: a removal should be seen within the minute.
const MAX_AGE: u32 = 60;
const JSON_SUFFIX: &str = ".json";
/// The longest subject in bytes: a URL that somebody would write.
pub(super) const MAX_SUBJECT: usize = 1024;
/// The longest e-mail address in bytes (RFC 5321, section 4.5.3.1, less the angle brackets).
pub(super) const MAX_CONTACT: usize = 254;
/// The longest text in characters: what a form's body holds of it in nearly any script.
pub(super) const MAX_TEXT: usize = 400;
/// Lookups at once: each may read the lists, and answering queries comes first.
const LOOKUPS: usize = 2;
/// How long a lookup waits for others.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the server behind may take: it may read lists.
const ANSWER: Duration = Duration::from_secs(20);
const ROBOTS: &str = "User-agent: *\nDisallow: /q/\n";
