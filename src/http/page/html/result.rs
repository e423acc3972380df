//! What was found of a subject, in the order of a reader's questions: is it listed, where and why, since when and until
//! when, what stands around it, and what can be done.
//!
//! Invariant: what lists say, of which there may be any number, takes no more than [`ROOM`]; what is left out is counted.

use std::cmp::Reverse;

use maud::{Markup, PreEscaped, html};

use super::super::form::encoded;
use super::super::found::{Found, InZone, Kind, Reason, Role, Standing, Verdict};
use super::super::site::{MAX_CONTACT, MAX_TEXT};
use super::{Look, document, field};
use crate::evidence::Time;

/// What a result's page shows.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Page<'p> {
    pub(in super::super) found: &'p Found,
    /// When a removal was asked for, if it was lately.
    pub(in super::super) requested: Option<Time>,
    /// Whether one can be asked for.
    pub(in super::super) takes_requests: bool,
}

/// The page of a result.
pub(in super::super) fn result(look: &Look, page: &Page<'_>) -> Markup {
    let Found { subject, zones, around, verdicts, .. } = page.found;
    let path = format!("/q/{}", encoded(&subject.text));
    let (origins, zones): (Vec<&InZone>, Vec<&InZone>) = zones.iter().partition(|zone| zone.role == Role::Origin);
    let says = |zone: &&InZone| zone.standing > Standing::None || !zone.why.is_empty() || !zone.txt.is_empty();
    let (mut said, silent): (Vec<&InZone>, Vec<&InZone>) = zones.into_iter().partition(says);
    // what there is no room for is the least
    said.sort_by_key(|zone| Reverse(zone.standing));
    let mut room = ROOM;
    let main = html! {
        h1 .subject {
            (subject.text)
            @if let Some(unicode) = &subject.unicode { " " small { "(" bdi { (unicode) } ")" } }
        }
        (banner(page.found))
        @if !said.is_empty() {
            section aria-labelledby="why" {
                h2 #why { "Where, and why" }
                (in_zones(&said, &path, &mut room))
            }
        }
        @if !silent.is_empty() { (not_in(&silent, &mut room)) }
        @if let Some(around) = around {
            section aria-labelledby="around" {
                h2 #around { "What stands around it" }
                (field::field(around, &subject.text, verdicts))
            }
        }
        (fitting(&mut room, origins.iter().flat_map(|zone| &zone.txt).map(|txt| {
            html! { p .silent { "Announced and registered as " q { (txt) } } }
        })).0)
        @for verdict in verdicts { (judged(verdict)) }
        (removal(page, &path))
        p .note {
            "Generation " (page.found.generation) ", looked up " (time(&page.found.at.0.to_string())) ". "
            (twin(&path, "The same as JSON"))
        }
    };
    document(look, &subject.text, &path, true, &main)
}

/// What it comes to, in one sentence.
fn banner(found: &Found) -> Markup {
    let lists = found.zones.iter().filter(|zone| zone.standing == Standing::Listed).count();
    let failed = found.zones.iter().any(|zone| matches!(zone.status, "SERVFAIL" | "ERROR"));
    let (title, text) = match found.standing {
        Standing::Listed if lists == 1 => ("Listed", "One of the lists here has it.".to_owned()),
        Standing::Listed => ("Listed", format!("{lists} of the lists here have it.")),
        Standing::None if failed => ("Not known", "A list cannot be asked at the moment.".to_owned()),
        Standing::None => ("Not listed", "No list here has it.".to_owned()),
        state => {
            let what = match state {
                Standing::Bad => "More often than not, something new comes from around it within a week.",
                Standing::Suspicious => "Much was reported around it, by several who do not know of each other.",
                _ => "More than usual was reported around it.",
            };
            ("Not listed itself", what.to_owned())
        }
    };
    let reasons = || found.zones.iter().filter(|zone| zone.standing == Standing::Listed).flat_map(|zone| &zone.why);
    let reasons = || reasons().filter(|reason| matches!(reason.kind, "listing" | "verdict" | "live" | "compiled"));
    let since = reasons().filter_map(|reason| reason.since.as_deref()).min();
    let last = reasons().filter_map(|reason| reason.last.as_deref()).max();
    // what one list has without an end has none
    let ends = reasons().all(|reason| reason.until.is_some());
    let until = reasons().filter_map(|reason| reason.until.as_deref().filter(|_| ends)).max();
    html! {
        div class={ "banner " (found.standing.word()) } role="status" {
            p .title { (title) }
            p { (text) }
            @if found.standing == Standing::Listed && (since.is_some() || last.is_some() || until.is_some()) {
                (times(since, last, until))
            }
        }
    }
}

/// Since when, last seen, until when, as far as it is known.
fn times(since: Option<&str>, last: Option<&str>, until: Option<&str>) -> Markup {
    html! {
        dl .times {
            @for (what, at) in [("Since", since), ("Last seen", last), ("Until", until)] {
                @if let Some(at) = at { div { dt { (what) } dd { (time(at)) } } }
            }
        }
    }
}

/// A time as people read it: `2026-07-12 10:00 UTC`.
fn time(written: &str) -> Markup {
    let shown = match written.split_once('T') {
        Some((date, clock)) if clock.len() >= 5 && clock.is_ascii() => format!("{date} {} UTC", &clock[..5]),
        Some((date, clock)) => format!("{date} {}:00 UTC", clock.trim_end_matches('Z')),
        None => written.to_owned(),
    };
    html! { time datetime=(machine(written)) { (shown) } }
}

/// A time as HTML wants it: an hour alone is none there.
fn machine(written: &str) -> String {
    match written.split_once('T') {
        Some((date, clock)) if clock.len() == 3 => format!("{date}T{}:00Z", &clock[..2]),
        _ => written.to_owned(),
    }
}

/// The parts for which there is room, and the number of those for which there is none.
fn fitting(room: &mut usize, parts: impl Iterator<Item = Markup>) -> (Markup, usize) {
    let (mut shown, mut left) = (String::new(), 0);
    for part in parts {
        match room.checked_sub(part.0.len()) {
            Some(rest) if left == 0 => {
                *room = rest;
                shown.push_str(&part.0);
            }
            _ => left += 1,
        }
    }
    (PreEscaped(shown), left)
}

/// The way to all that is known.
fn twin(path: &str, text: &str) -> Markup {
    html! { a href={ (path) "?format=json" } { (text) } }
}

/// The zones that say something, as far as there is room.
fn in_zones(said: &[&InZone], path: &str, room: &mut usize) -> Markup {
    let mut shown = Vec::new();
    for zone in said {
        let Some(rest) = room.checked_sub(zone.zone.len() + CARD) else { break };
        *room = rest;
        shown.push(in_zone(zone, room));
    }
    let left = &said[shown.len()..];
    let have = match left.iter().all(|zone| zone.standing == Standing::Listed) {
        true => "have it",
        false => "say something of it",
    };
    html! {
        @for zone in shown { (zone) }
        @if !left.is_empty() {
            p { "And " (counted(left.len(), "more list", "more lists")) " " (have) ": " (twin(path, "all of it as JSON")) "." }
        }
    }
}

fn in_zone(zone: &InZone, room: &mut usize) -> Markup {
    let state = match zone.standing {
        Standing::None => "not listed",
        standing => standing.word(),
    };
    // texts of verdicts are words for programs
    let is_words = zone.txt.iter().any(|txt| txt.split(' ').all(|word| word.contains('=')));
    let addresses = zone.a.iter().map(|a| html! { code { (a) } " " });
    let texts = zone.txt.iter().map(|txt| html! { q { (txt) } " " });
    let (answers, left) = fitting(room, addresses.chain(texts));
    let answer = html! { p .answer { (answers) @if left > 0 { "and " (left) " more" } } };
    let (overruled, own): (Vec<&Reason>, Vec<&Reason>) = zone.why.iter().partition(|reason| is_overruled(reason, zone));
    let without = |reason: &Reason| {
        html! { li { "Without that " b { (dataset(reason)) } " would list it: " code { (reason.entry) } "." } }
    };
    let reasons = own.into_iter().map(|reason| html! { li { (why(reason)) } });
    let (reasons, left) = fitting(room, reasons.chain(overruled.into_iter().map(without)));
    html! {
        article .card {
            h3 { (zone.zone) " " span class={ "tag " (zone.standing.word()) } { (state) } }
            @if !is_words && (!zone.a.is_empty() || !zone.txt.is_empty()) { (answer) }
            @if !zone.why.is_empty() { ul .why { (reasons) @if left > 0 { li { "And " (left) " more." } } } }
            @if is_words { details { summary { "The answer in DNS" } (answer) } }
        }
    }
}

/// Whether a list has what another reason takes out of the zone.
fn is_overruled(reason: &Reason, zone: &InZone) -> bool {
    let is_out = |other: &Reason| match other.kind {
        "removed" => zone.standing == Standing::None || other.dataset == reason.dataset,
        "exclusion" | "allowed" | "never-list" => zone.standing == Standing::None,
        _ => false,
    };
    matches!(reason.kind, "listing" | "compiled" | "live" | "verdict") && zone.why.iter().any(is_out)
}

fn dataset(reason: &Reason) -> &str {
    reason.dataset.as_deref().unwrap_or("this list")
}

/// A reason in words.
fn why(reason: &Reason) -> Markup {
    let Reason { kind, entry, since, last, until, .. } = reason;
    let dataset = dataset(reason);
    let what = match *kind {
        "exclusion" => html! { "Excepted from " b { (dataset) } " by " code { (entry) } "." },
        "allowed" => html! { "Never listed here: allowed by " b { (dataset) } ", " code { (entry) } "." },
        "never-list" => html! { "Never listed anywhere: " (entry) "." },
        "test-entry" => html! { "An entry for tests, which every list has (RFC 5782)." },
        "removed" => html! { "Removed from " b { (dataset) } " by the operator: " code { (entry) } "." },
        "live" => html! { "Added to " b { (dataset) } " by the operator: " code { (entry) } "." },
        "listing" | "compiled" => {
            html! { "In " b { (dataset) } ": " code { (entry) } @if until.is_none() { ", until the list no longer has it." } }
        }
        _ => html! { "In " b { (dataset) } ": " code { (entry) } },
    };
    html! {
        (what)
        @if since.is_some() || last.is_some() || until.is_some() {
            (times(since.as_deref(), last.as_deref(), until.as_deref()))
        }
    }
}

/// The zones that say nothing.
fn not_in(silent: &[&InZone], room: &mut usize) -> Markup {
    let names = silent.iter().enumerate().map(|(at, zone)| {
        html! {
            @if at > 0 { ", " }
            span { (zone.zone) @if matches!(zone.status, "SERVFAIL" | "ERROR") { " (cannot be asked)" } }
        }
    });
    let (names, left) = fitting(room, names);
    html! { p .silent { "Not in: " (names) @if left > 0 { " and " (left) " more" } } }
}

/// How evidence came to its verdict; where that is nothing, for who wants to know.
fn judged(verdict: &Verdict) -> Markup {
    let title = match verdict.about.as_str() {
        "send" => "What is sent from there",
        "host" => "What is hosted there",
        _ => "What was reported of it and around it",
    };
    let is_name = verdict.about == "name";
    let heading = html! {
        h2 { (title) @if !is_name { " " span class={ "tag " (verdict.state) } { (state(&verdict.state)) } } }
    };
    html! {
        @if verdict.state == "none" {
            details .judged { summary { (heading) } (reasoning(verdict, is_name)) }
        } @else {
            section .judged { (heading) (reasoning(verdict, is_name)) }
        }
    }
}

/// The word for a verdict's state.
fn state(word: &str) -> &str {
    if word == "none" { "nothing against it" } else { word }
}

fn reasoning(verdict: &Verdict, is_name: bool) -> Markup {
    let Verdict { node, rule, leaves, evidence, chain, terms, told, lift, .. } = verdict;
    html! {
        @for sentence in told { p { (sentence) } }
        @if !rule.is_empty() {
            p { "Rule for " @if node.is_empty() { "it" } @else { code { (node) } } " — " (ruled(rule)) "." }
        }
        @if let Some(lift) = *lift {
            p .note {
                "The lift, here " (factor(lift)) ", is how many times as many newly reported addresses are to be expected "
                "within 7 days as in a mean announced /24."
            }
        }
        @if let Some(leaves) = leaves { p { "It ends " (leaves) "." } }
        @if let Some(evidence) = evidence.as_ref().filter(|evidence| evidence.reports > 0) {
            p {
                "In the last 45 days: " (counted(evidence.reports as usize, "address", "addresses")) " reported on "
                (counted(evidence.days as usize, "day", "days")) " by " (counted(evidence.groups as usize, "source", "independent sources"))
                @if let Some(last) = &evidence.last { ", last " (time(last)) }
                "."
            }
        }
        @if !chain.is_empty() {
            div .scroll tabindex="0" role="group" aria-label="What stands around it, as a table" {
                table {
                    caption .hidden { "What stands around it, the nearest first" }
                    thead {
                        tr {
                            th scope="col" { "Around it" }
                            th scope="col" { "What is known" }
                            @if !is_name { th .number scope="col" { "× mean so far" } }
                        }
                    }
                    tbody {
                        @for known in chain {
                            tr {
                                th scope="row" {
                                    @if known.node != ALL { code { (known.node) } " " }
                                    small { (known.what) }
                                }
                                td { (known.known) }
                                @if !is_name {
                                    td .number { @if let Some(times) = known.times { (factor(times)) } }
                                }
                            }
                        }
                    }
                }
            }
            @if !is_name {
                p .note {
                    "An address counts less the longer ago it was reported: after 120 days half. "
                    "“× mean so far” compares what that comes to for each /24 with the mean of all."
                }
            }
        }
        @if let Some(lift) = lift.filter(|_| !terms.is_empty()) {
            details {
                summary { "How it comes to " (factor(lift)) " the mean in the next 7 days" }
                ul .terms {
                    @for term in terms { li { span { (kind(&term.name)) } b { (factor(term.sum.exp())) } } }
                }
                p .note {
                    "Multiplied they are the lift. What came so far is only one of the reasons, and so the two numbers "
                    "differ."
                }
            }
        }
    }
}

/// A rule in words: the state that it is about stands in front of it.
fn ruled(rule: &str) -> String {
    match rule.split_once(": ") {
        Some((word, what)) => format!("{}: {what}", state(word)),
        None => rule.to_owned(),
    }
}

/// What a kind of terms measures, where its name alone does not say so.
fn kind(name: &str) -> &str {
    match name {
        "base" => "what every such block begins with",
        "own record" => "what was reported of it",
        "neighbors" => "its neighbors",
        "prefix shape" => "how it is announced",
        name => name,
    }
}

/// A number and what it counts.
fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// A factor as people read it: in two or three digits.
pub(super) fn factor(times: f64) -> String {
    match times {
        times if times >= 10.0 => format!("{times:.0}×"),
        times if times >= 1.0 => format!("{times:.1}×"),
        times if times >= 0.01 => format!("{times:.2}×"),
        _ => "0×".to_owned(),
    }
}

/// The form that asks for a removal, or what has become of it.
fn removal(page: &Page<'_>, path: &str) -> Markup {
    let Found { subject, standing, .. } = page.found;
    html! {
        @if let Some(at) = page.requested {
            section #removal aria-labelledby="asked" {
                h2 #asked { "A removal was asked for" }
                p {
                    "On " (time(&at.to_string())) ". The operator of the lists reads it and decides; the address that was "
                    "given is where the answer goes. What is shown above changes when it is decided."
                }
            }
        } @else if page.takes_requests {
            section #removal aria-labelledby="ask" {
                h2 #ask { "Ask for a removal" }
                p {
                    @if *standing == Standing::Listed {
                        "Mend what was reported first: what is reported again is listed again. "
                    } @else {
                        "It is not listed itself. What is said of its surroundings ends by itself when they become quiet. "
                    }
                    "Then tell the operator what has changed."
                }
                form .ask action=(path) method="post" aria-labelledby="ask" {
                    label for="contact" { "Your e-mail address" }
                    input #contact name="contact" type="email" required maxlength=(MAX_CONTACT) autocomplete="email";
                    label for="text" { "What was wrong, and what has changed" }
                    textarea #text name="text" rows="4" required maxlength=(MAX_TEXT) {}
                    button { "Ask for a removal of " (subject.text) }
                    p .note {
                        "Kept with your network address for the operator, who decides. "
                        @if subject.kind == Kind::Address { "It is best sent from the address itself or its network." }
                    }
                }
            }
        }
    }
}

/// The node of a chain that all others are in.
const ALL: &str = "all";
/// Bytes of what lists say on one page, which has to stay below 50 kB with a field of all states: some ten lists with a
/// text each.
const ROOM: usize = 5_500;
/// Bytes of a list's card besides its name and what it says.
const CARD: usize = 250;

#[cfg(test)]
mod tests;
