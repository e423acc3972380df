//! The pages as HTML: one document each, with its style in it and nothing to load.
//!
//! The templates are maud's: they are checked when the program is built, whatever is put into them is escaped unless it
//! says otherwise, and there is no file that could be missing. Invariant: [`PreEscaped`] stands around constants, and
//! around the field, which is made of numbers.

mod field;
mod result;

use axum::http::HeaderValue;
use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

pub(super) use result::{Page, result};

use super::Listen;

/// What all pages have in common.
#[derive(Clone, Debug)]
pub(super) struct Look {
    name: String,
    url: Option<String>,
    contact: Option<String>,
    /// What browsers may do with a page: show it with its own style, and send its form back.
    pub(super) policy: HeaderValue,
}

impl Look {
    pub(super) fn of(listen: &Listen) -> Self {
        let Listen { name, url, contact, .. } = listen.clone();
        let hash = BASE64.encode(&Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { name, url, contact, policy }
    }
}

/// The page that asks what to look up.
pub(super) fn begin(look: &Look) -> Markup {
    let main = html! {
        h1 { "Is it listed, and why?" }
        p .lead {
            "Look up an address or a domain: whether a list here has it, since when and until when, and what stands "
            "around it."
        }
        (search(EXAMPLE))
        p .note {
            "Nothing is kept of who looks up what. Programs add " code { "?format=json" } " to a result's address, and "
            "mail servers ask the zones."
        }
    };
    document(look, &look.name, "/", false, &main)
}

/// The page that says why there is nothing else.
pub(super) fn refusal(look: &Look, title: &str, why: &str) -> Markup {
    let main = html! {
        h1 { (title) }
        p .lead role="alert" { (why) }
        (search(EXAMPLE))
    };
    document(look, title, "", false, &main)
}

/// The form; the hint stands in it until something is written.
fn search(hint: &str) -> Markup {
    html! {
        form .search action="/" method="get" role="search" aria-label="Lookup" {
            label for="q" { "Address or domain" }
            input #q name="q" type="text" required maxlength="1000" autocomplete="off"
                autocapitalize="none" spellcheck="false" placeholder=(hint);
            button { "Look up" }
        }
    }
}

/// A whole document; `path` is where it stands, if it stands anywhere.
fn document(look: &Look, title: &str, path: &str, has_search: bool, main: &Markup) -> Markup {
    let is_begin = path == "/";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) @if !is_begin { " · " (look.name) } }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if !is_begin { meta name="robots" content="noindex"; }
                @if let Some(url) = look.url.as_ref().filter(|_| !path.is_empty()) {
                    link rel="canonical" href={ (url) (path) };
                }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    a .home href="/" { (look.name) }
                    @if has_search { (search(EXAMPLE)) }
                }
                main { (main) }
                footer {
                    @if let Some(contact) = &look.contact { p { "Operator: " (link(contact)) } }
                    p { "Served by infamy. No cookies, no scripts, no tracking." }
                }
            }
        }
    }
}

/// A mailbox or URL as a link; anything else as a text.
fn link(to: &str) -> Markup {
    let is_url = to.starts_with("https://") || to.starts_with("http://");
    html! {
        @if is_url { a href=(to) rel="noopener" { (to) } }
        @else if to.contains('@') { a href={ "mailto:" (to) } { (to) } }
        @else { (to) }
    }
}

pub(super) const STYLE: &str = include_str!("style.css");
const EXAMPLE: &str = "192.0.2.1 or example.com";
/// Four cells of a field.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath \
                    fill='%23888' d='M1 1h6v6H1zM9 9h6v6H9zM1 9h6v6H1z'/%3E%3Cpath fill='%23b3261e' \
                    d='M9 1h6v6H9z'/%3E%3C/svg%3E";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_has_the_hash_of_what_the_page_has_in_it() {
        let look = Look::of(&Listen::default());
        let page = begin(&look).into_string();
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = BASE64.encode(&Sha256::digest(style));
        assert!(look.policy.to_str().unwrap().contains(&format!("'sha256-{hash}'")), "{:?}", look.policy);
    }
}
