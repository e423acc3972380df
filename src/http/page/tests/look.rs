//! Looking something up.

use serde_json::Value;

use super::super::html::Look;
use super::*;

#[test]
fn the_form_leads_to_a_result() {
    let site = Site::new();
    let begin = site.get("/");
    assert_eq!(begin.status, 200);
    assert!(begin.body.contains("<label for=\"q\">"), "{}", begin.body);
    let way = site.get("/?q=+192.0.2.7%20");
    assert_eq!((way.status, way.header("location")), (303, Some("/q/192.0.2.7")));
    let page = site.get("/q/192.0.2.7");
    assert_eq!(page.status, 200);
    for told in ["Listed", "bl.example", "Seen in a trap", "2026-07-01 10:20 UTC", "2026-08-01", "AS64500", "traps"] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    assert!(page.body.len() < 50_000, "{}", page.body.len());
    let none = site.get("/q/192.0.2.9");
    assert!(none.body.contains("Not listed") && !none.body.contains("Ask for a removal"), "{}", none.body);
}

#[test]
fn a_page_is_one_answer_with_a_strict_policy() {
    let site = Site::new();
    for path in ["/", "/q/192.0.2.7", "/q/hello", "/nothing", "/robots.txt"] {
        let answer = site.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("set-cookie"), None);
        let tags: Vec<&str> = answer.body.split('<').map(|tag| tag.split('>').next().unwrap_or_default()).collect();
        for loads in ["script", "img ", "iframe", " src=", " style=", " onclick=", " onload=", "rel=\"stylesheet\""] {
            assert!(!tags.iter().any(|tag| tag.contains(loads)), "{path}: {loads}");
        }
        assert!(!answer.body.contains("url(") && !answer.body.contains("@import"));
    }
}

#[test]
fn every_control_has_a_name() {
    let site = Site::new();
    for path in ["/", "/q/192.0.2.7"] {
        let body = site.get(path).body;
        for id in body.split("<input id=\"").chain(body.split("<textarea id=\"")).skip(1) {
            let id = id.split('"').next().unwrap();
            if body.contains(&format!("id=\"{id}\"")) {
                assert!(body.contains(&format!("<label for=\"{id}\"")), "{path}: {id}");
            }
        }
        for named in body.split("aria-labelledby=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert_eq!(body.matches(&format!("id=\"{named}\"")).count(), 1, "{path}: {named}");
        }
        for tag in ["<form ", "<figure", "<section"] {
            let tags = body.split(tag).skip(1).map(|rest| rest.split('>').next().unwrap());
            let is_named = |tag: &str| tag.contains("aria-label=") || tag.contains("aria-labelledby=");
            assert_eq!(tags.filter(|tag| !is_named(tag)).collect::<Vec<_>>(), Vec::<&str>::new(), "{path}: {tag}");
        }
        assert_eq!(body.matches("<main>").count(), 1);
        assert_eq!(body.matches("<h1").count(), 1);
    }
}

#[test]
fn json_is_the_twin() {
    let site = Site::new();
    let by_name = site.get("/q/192.0.2.7.json");
    assert_eq!(by_name.header("content-type"), Some("application/json"));
    let json: Value = serde_json::from_str(&by_name.body).unwrap();
    assert_eq!((&json["subject"], &json["listed"]), (&Value::from("192.0.2.7"), &Value::from(true)));
    assert_eq!(json["around"]["standings"].as_array().unwrap().len(), 256);
    let accepted = site.get_with("/q/192.0.2.7", "Accept: application/json\r\n");
    assert_eq!((&accepted.body, accepted.header("vary")), (&by_name.body, Some("Accept")));
    let browser = site.get_with("/q/192.0.2.7", "Accept: text/html,application/json;q=0.9\r\n");
    assert!(browser.body.starts_with("<!DOCTYPE html>"));
    // of a URL it is the end, and not a name of ours
    assert!(site.get("/q/http:%2F%2Fa.example%2Fx.json").body.starts_with("<!DOCTYPE html>"));
    assert_eq!(site.get("/q/hello?format=json").header("content-type"), Some("application/problem+json"));
    assert!(site.get("/").body.contains("?format=json"));
    let wrong = site.get("/q/hello.json");
    // it is a domain by its dot, as far as this server is concerned
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert_eq!(wrong.header("content-type"), Some("application/problem+json"));
}

#[test]
fn a_page_links_its_own_twin() {
    let site = Site::new();
    for subject in ["192.0.2.7", "listed.example", "http://a.example/x.json", "http://a.example/?q=<b>&format=html"] {
        let page = site.get(&format!("/q/{}", form::encoded(subject))).body;
        let (before, _) = page.split_once("\">The same as JSON</a>").unwrap();
        let twin = site.get(before.rsplit_once("href=\"").unwrap().1);
        let json: Value = serde_json::from_str(&twin.body).unwrap();
        assert_eq!(json["subject"], subject);
    }
}

#[test]
fn what_is_known_is_not_sent_again() {
    let site = Site::new();
    let first = site.get("/q/192.0.2.7");
    assert_eq!(first.header("cache-control"), Some("public, max-age=60"));
    let tag = first.header("etag").unwrap().to_owned();
    let again = site.get_with("/q/192.0.2.7", &format!("If-None-Match: \"x\", {tag}\r\n"));
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(&*tag)));
    assert_eq!(site.get_with("/q/192.0.2.7.json", &format!("If-None-Match: {tag}\r\n")).status, 200);
    assert_eq!(site.get_with("/q/192.0.2.7", "If-None-Match: *\r\n").status, 304);
    assert_eq!(site.kept.lookups.load(Ordering::Relaxed), 1, "it is looked up once");
    site.kept.generation.store(9, Ordering::Relaxed);
    let other = site.get_with("/q/192.0.2.7", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(other.status, 200);
    assert_eq!(site.kept.lookups.load(Ordering::Relaxed), 2);
    let head = site.raw(b"HEAD /q/192.0.2.7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // what proxies speak
    assert_eq!(site.raw(b"GET / HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn a_page_is_kept_no_longer_than_what_it_says() {
    let site = Site::new();
    let age = |until: &str| {
        site.kept.generation.fetch_add(1, Ordering::Relaxed);
        *site.kept.until.lock().unwrap() = until.to_owned();
        let cached = site.get("/q/192.0.2.7").header("cache-control").unwrap().to_owned();
        cached.strip_prefix("public, max-age=").unwrap().parse::<u32>().unwrap()
    };
    let now = super::super::super::intake::now().0;
    assert!((1..=20).contains(&age(&Time(now + 20).to_string())));
    assert_eq!((age(&Time(now + 3600).to_string()), age(&Time(now - 1).to_string())), (60, 0));
    // a date tells no second
    assert_eq!(age(&Time(now).to_date()), 60);
}

#[test]
fn what_takes_a_subject_out_stands_before_what_has_it() {
    let reason = |kind, dataset: &str, entry: &str| Reason {
        kind,
        dataset: Some(dataset.to_owned()),
        entry: entry.to_owned(),
        since: None,
        last: None,
        until: None,
    };
    let subject = Subject { text: "192.0.2.10".to_owned(), unicode: None, kind: Kind::Address };
    let look = Look::of(&Listen::default());
    let page = |listed, why| {
        let mut found = found(&subject, listed, "");
        found.zones[0].why = why;
        let page = html::Page { found: &found, requested: None, takes_requests: false };
        html::result(&look, &page).into_string()
    };
    for (kind, told) in [("removed", "Removed from <b>good</b>"), ("allowed", "allowed by <b>good</b>")] {
        let page = page(false, vec![reason("listing", "senders", "192.0.2.10"), reason(kind, "good", "192.0.2.0/24")]);
        assert!(page.find(told) < page.find("Without that <b>senders</b> would list it"), "{page}");
        assert!(page.contains(told) && !page.contains("until the list no longer has it"), "{page}");
    }
    // another list still has it
    let all = vec![reason("listing", "a", "x"), reason("removed", "a", "x"), reason("listing", "b", "x")];
    let page = page(true, all);
    assert!(page.contains("Without that <b>a</b>") && page.contains("In <b>b</b>"), "{page}");
}

#[test]
fn what_is_no_subject_is_helped_with() {
    let site = Site::new();
    for path in ["/q/hello", "/?q=hello"] {
        let answer = site.get(path);
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("Write it like 192.0.2.1"), "{}", answer.body);
    }
    assert_eq!(site.get(&format!("/q/{}.example", "a".repeat(2000))).status, 400);
    assert_eq!(site.get("/q/%ff").status, 400);
    assert_eq!((site.get("/x").status, site.get("/v1/status").status, site.get("/q").status), (404, 404, 404));
}

#[test]
fn what_was_written_is_text_in_the_page() {
    let site = Site::new();
    let evil = "listed.<script>alert(1)</script>\"'&.example";
    *site.kept.text.lock().unwrap() = evil.to_owned();
    let page = site.get(&format!("/q/{}", form::encoded(evil)));
    assert_eq!(page.status, 200, "{page:?}");
    assert!(!page.body.contains("<script"), "{}", page.body);
    assert!(page.body.matches("&lt;script&gt;").count() >= 3, "{}", page.body);
    let way = site.get("/?q=A.B%0D%0AX:%20y");
    assert!(!way.head.contains("\r\nX: y"), "{}", way.head);
    let both = site.get("/q/xn--mnchen-3ya.example");
    assert!(both.body.contains("xn--mnchen-3ya.example") && both.body.contains("münchen&lt;b&gt;.example"));
}

#[test]
fn the_colors_can_be_read() {
    let style = html::STYLE;
    let (light, rest) = style.split_once("@media").unwrap();
    for scheme in [light, rest.split_once("}}").unwrap().0] {
        let color = |name: &str| {
            let value = scheme.split_once(&format!("--{name}:#")).unwrap().1;
            let digits = value.split([';', '}']).next().unwrap();
            let long: String = match digits.len() {
                3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
                _ => digits.to_owned(),
            };
            luminance(u32::from_str_radix(&long, 16).unwrap())
        };
        let contrast = |a: &str, b: &str| {
            let (a, b) = (color(a), color(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        // WCAG 2.2, 1.4.3: text; 1.4.11: what a picture says
        for on in ["bg", "card"] {
            for text in ["ink", "soft", "link", "listed", "quiet"] {
                assert!(contrast(text, on) >= 4.5, "{text} on {on}: {}", contrast(text, on));
            }
        }
        assert!(contrast("on", "press") >= 4.5, "{}", contrast("on", "press"));
        // browsers have a gray of their own for it
        assert!(style.contains("::placeholder{color:var(--soft);opacity:1}"));
        // a square beside others and on each frame's ground, the mark on it, and the ring
        let squares = ["listed", "bad", "suspicious", "watch"];
        let pairs = squares.iter().flat_map(|square| ["none", "card", "bg", "mark"].map(|other| (*square, other)));
        for (a, b) in pairs.chain([("ring", "none"), ("ring", "card")]) {
            assert!(contrast(a, b) >= 3.0, "{a} beside {b}: {}", contrast(a, b));
        }
    }
}

/// The relative luminance of a color, as WCAG defines it.
fn luminance(color: u32) -> f64 {
    let part = |shift: u32| {
        let value = f64::from(color >> shift & 0xff) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
}
