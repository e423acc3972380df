//! The field: the 256 addresses of a /24, sixteen a row, each by what is said of it, and what announces them around it.
//!
//! A state is told by a mark as well as by a color: a disc that grows with it, a square for what is listed. What the
//! picture shows stands below it as a list, with links, for who does not see it or uses no mouse.

use std::fmt::Write;
use std::net::Ipv4Addr;

use maud::{Markup, PreEscaped, html};

use super::super::found::{Around, Standing, Verdict};

/// The picture, its legend, and the list.
pub(super) fn field(around: &Around, subject: &str, verdicts: &[Verdict]) -> Markup {
    let asn = around.asn.filter(|asn| *asn != 0).map(|asn| format!("AS{asn}"));
    let block = html! {
        div .frame .block {
            p .edge {
                (around.block) @if around.prefix.as_ref() == Some(&around.block) { ", announced" }
                @if let Some(times) = times(verdicts, &around.block) { span { (times) } }
            }
            (PreEscaped(drawing(around, subject)))
        }
    };
    let is_block = around.prefix.as_ref().is_none_or(|prefix| *prefix == around.block);
    let prefix = match &around.prefix {
        Some(prefix) if !is_block => html! {
            div .frame .prefix {
                p .edge {
                    "announced as " (prefix)
                    @if let Some(times) = times(verdicts, prefix) { span { (times) } }
                }
                (block)
            }
        },
        _ => block,
    };
    html! {
        figure aria-labelledby="field" {
            @match &asn {
                Some(asn) => div .frame .asn {
                    p .edge { (asn) @if let Some(times) = times(verdicts, asn) { span { (times) } } }
                    (prefix)
                },
                None => (prefix),
            }
            figcaption #field {
                "Each square is an address of " (around.block) ", sixteen a row, the first at the top left. "
                "The ring is " (subject) "."
            }
        }
        (legend(around))
    }
}

/// How many of each there are, and which.
fn legend(around: &Around) -> Markup {
    let count = |standing| around.standings.iter().filter(|other| **other == standing).count();
    html! {
        ul .legend {
            @for standing in Standing::ALL.into_iter().filter(|standing| count(*standing) > 0) {
                li {
                    (PreEscaped(format!(
                        "<svg class=key viewBox=\"-5 -5 10 10\" aria-hidden=true>{}</svg>",
                        swatch(standing)
                    )))
                    span { (word(standing)) } b { (count(standing)) }
                }
            }
        }
        @if around.standings.iter().any(|standing| *standing > Standing::None) {
            details {
                summary { "The same as a list" }
                dl .ranges {
                    @for standing in &Standing::ALL[..4] {
                        @let all = ranges(around, *standing);
                        @if !all.is_empty() {
                            dt { (word(*standing)) }
                            dd {
                                @for (at, (first, last)) in all.iter().enumerate() {
                                    @if at > 0 { ", " }
                                    (listed(*first, all.len())) @if first != last { "–" (listed(*last, all.len())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An address in the list, as a link where there are not too many, and otherwise its last number.
fn listed(address: Ipv4Addr, count: usize) -> Markup {
    PreEscaped(match count > MOST_LINKS {
        true => format!(".{}", address.octets()[3]),
        false => format!("<a href={address}>{address}</a>"),
    })
}

/// What a state is called in the legend.
pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Listed => "listed itself",
        Standing::Bad => "bad neighborhood",
        Standing::Suspicious => "suspicious neighborhood",
        Standing::Watch => "watched neighborhood",
        Standing::None => "nothing said",
    }
}

/// The addresses, each with what is said of it.
fn cells(around: &Around) -> impl Iterator<Item = (u32, Standing)> {
    (0..256).zip(&around.standings).map(|(last, standing)| (around.first & !0xff | last, *standing))
}

/// The first and last address of each run of a state.
fn ranges(around: &Around, standing: Standing) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let mut all: Vec<(u32, u32)> = Vec::new();
    for (address, _) in cells(around).filter(|(_, other)| *other == standing) {
        match all.last_mut() {
            Some((_, last)) if *last + 1 == address => *last = address,
            _ => all.push((address, address)),
        }
    }
    all.into_iter().map(|(first, last)| (first.into(), last.into())).collect()
}

/// How many times the mean a node of the chain is, in words, by the verdict that stands first.
fn times(verdicts: &[Verdict], node: &str) -> Option<String> {
    let known = verdicts.first()?.chain.iter().find(|known| known.node == node)?;
    Some(format!("{} the mean so far", super::result::factor(known.times?)))
}

/// Cells with links, marks over them, and a ring. All of it is made of numbers and constants.
///
/// A cell is a point with a square cap, and a mark one with a round cap: so each takes a few bytes.
fn drawing(around: &Around, subject: &str) -> String {
    let mut out = String::from("<svg class=field viewBox=\"-7 -7 164 164\" aria-hidden=true>");
    for standing in Standing::ALL {
        let mut all = String::new();
        for (address, _) in cells(around).filter(|(_, other)| *other == standing) {
            let (x, y) = place(address);
            let _ = write!(all, "<a href={} tabindex=-1><title>.{}", Ipv4Addr::from(address), address & 0xff);
            if standing > Standing::None {
                let _ = write!(all, ": {}", standing.word());
            }
            let _ = write!(all, "</title><path d=M{x},{y}h0 /></a>");
        }
        let _ = write!(out, "<g class={}>{all}</g>", class(standing));
    }
    for standing in &Standing::ALL[..4] {
        let all = cells(around).filter(|(_, other)| other == standing).map(|(address, _)| place(address));
        out += &marks(*standing, all);
    }
    if let Ok(address) = subject.parse::<Ipv4Addr>() {
        let (x, y) = place(address.into());
        // set off from the cell, whatever its color
        for (class, radius) in [("halo", 5.1), ("ring", 5.9)] {
            let (x, y, width) = (f64::from(x) - radius, f64::from(y) - radius, 2.0 * radius);
            let _ = write!(out, "<rect class={class} x={x:.1} y={y:.1} width={width} height={width} rx=1 />");
        }
    }
    out + "</svg>"
}

/// Where the middle of an address's cell is in the drawing.
fn place(address: u32) -> (u32, u32) {
    (address % 16 * 10, address / 16 % 16 * 10)
}

/// The marks of one state: dots as large as it is bad, and squares.
fn marks(standing: Standing, places: impl Iterator<Item = (u32, u32)>) -> String {
    let mut dots = String::new();
    for (x, y) in places {
        let _ = write!(dots, "M{x} {y}h0");
    }
    match dots.is_empty() || standing == Standing::None {
        true => String::new(),
        false => format!("<path class=\"mark m{}\" d=\"{dots}\" />", class(standing)),
    }
}

/// One cell, for the legend.
fn swatch(standing: Standing) -> String {
    let marks = marks(standing, [(0, 0)].into_iter());
    format!("<g class={}><path d=M0,0h0 /></g>{marks}", class(standing))
}

fn class(standing: Standing) -> char {
    match standing {
        Standing::Listed => 'l',
        Standing::Bad => 'b',
        Standing::Suspicious => 's',
        Standing::Watch => 'w',
        Standing::None => 'n',
    }
}

/// Ranges of one state that are links: with more of them a page would outgrow its 50 kB.
const MOST_LINKS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Around {
        let mut standings = vec![Standing::None; 256];
        standings[7] = Standing::Listed;
        standings[16..32].fill(Standing::Watch);
        standings[255] = Standing::Listed;
        let (block, prefix) = ("192.0.2.0/24".to_owned(), Some("192.0.2.0/23".to_owned()));
        Around { first: 0xc000_0200, block, standings, prefix, asn: Some(64500) }
    }

    #[test]
    fn what_is_drawn_is_said_too() {
        let html = field(&around(), "192.0.2.7", &[]).into_string();
        assert_eq!(html.matches(" tabindex=-1>").count(), 256);
        assert!(html.contains("<title>.16: watch</title>"), "{html}");
        let list = html.split_once("The same as a list").unwrap().1;
        for told in ["<a href=192.0.2.7>", ", <a href=192.0.2.255>", "<a href=192.0.2.16>192.0.2.16</a>–<a"] {
            assert!(list.contains(told), "{told}: {list}");
        }
        assert!(html.contains("<span>nothing said</span><b>238</b>"), "{html}");
        assert!(html.contains("announced as 192.0.2.0/23") && html.contains("AS64500"));
        assert!(html.len() < 25_000, "{}", html.len());
    }

    #[test]
    fn a_field_of_all_states_leaves_room_for_the_rest_of_a_page() {
        let standings = (0..256).map(|at| Standing::ALL[at % 5]).collect();
        let around = Around { first: 0xcb00_7100, block: "203.0.113.0/24".to_owned(), standings, ..around() };
        let length = field(&around, "203.0.113.200", &[]).into_string().len();
        assert!(length < 27_000, "{length}");
    }

    #[test]
    fn the_last_addresses_there_are_have_a_field() {
        let around = Around { first: 0xffff_ff00, ..around() };
        assert_eq!(ranges(&around, Standing::Listed).last(), Some(&(Ipv4Addr::BROADCAST, Ipv4Addr::BROADCAST)));
        assert_eq!(drawing(&around, "255.255.255.255").matches("<a href=").count(), 256);
    }
}
