//! Asking for a removal.

use super::*;

const OWN: &str = "Sec-Fetch-Site: same-origin\r\n";
const FORM: &str = "contact=anna%40shop.example&text=A+form+was+open.%0D%0AIt+is+closed.";

#[test]
fn a_removal_is_kept_and_told() {
    let site = Site::new();
    assert!(site.get("/q/192.0.2.7").body.contains("<form class=\"ask\" action=\"/q/192.0.2.7\" method=\"post\" "));
    let tag = site.get("/q/192.0.2.7").header("etag").unwrap().to_owned();
    let answer = site.post("/q/192.0.2.7", OWN, FORM);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/q/192.0.2.7")), "{answer:?}");
    let removal = Removal {
        subject: "192.0.2.7".to_owned(),
        client: "127.0.0.1".parse().unwrap(),
        contact: "anna@shop.example".to_owned(),
        text: "A form was open.\nIt is closed.".to_owned(),
    };
    assert_eq!(site.kept.removals(), [removal]);
    let page = site.get_with("/q/192.0.2.7", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(page.status, 200, "a page that knows of the request is another one");
    assert!(
        page.body.contains("A removal was asked for") && !page.body.contains("<form class=\"ask\""),
        "{}",
        page.body
    );
}

#[test]
fn mailboxes_and_urls_can_be_asked_for_too() {
    let site = Site::new();
    for subject in ["listed@mail.example", "http://listed.example/login?a=b.json"] {
        let path = format!("/q/{}", form::encoded(subject));
        assert!(site.get(&path).body.contains(&format!("<form class=\"ask\" action=\"{path}\" ")), "{subject}");
        assert_eq!(site.post(&path, OWN, FORM).status, 303, "{subject}");
        assert_eq!(site.kept.removals().pop().unwrap().subject, subject);
        assert_eq!(site.post(&path, OWN, FORM).status, 429, "{subject}");
    }
}

#[test]
fn it_is_asked_for_once_and_a_restart_is_no_way_around() {
    let site = Site::new();
    assert_eq!(site.post("/q/192.0.2.7", OWN, FORM).status, 303);
    let again = site.post("/q/192.0.2.7", OWN, FORM);
    assert_eq!(again.status, 429);
    assert!(again.body.contains("asked for already") && again.header("retry-after").is_some(), "{again:?}");
    assert_eq!(site.kept.removals().len(), 1);
    let at = super::super::super::intake::now();
    let requested = Requested { subject: "192.0.2.7".to_owned(), client: None, at };
    let restarted = Site::with(Listen::default(), vec![requested]);
    assert_eq!(restarted.post("/q/192.0.2.7", OWN, FORM).status, 429);
    assert_eq!(restarted.post("/q/listed.example", OWN, FORM).status, 303);
    // the JSON's address is no other subject
    assert_eq!(restarted.post("/q/listed.example.json", OWN, FORM).status, 429);
}

#[test]
fn who_has_to_wait_is_told_how_long() {
    let at = super::super::super::intake::now();
    let of = |number: u8| Requested { subject: number.to_string(), client: "127.0.0.9".parse().ok(), at };
    let site = Site::with(Listen { cooldown: 600, ..Listen::default() }, (0..8).map(of).collect());
    let answer = site.post("/q/192.0.2.7", OWN, FORM);
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(answer.status == 429 && (1..=600).contains(&seconds), "{answer:?}");
    let until = Time(at.0 + 600).to_string();
    assert!(answer.body.contains(&format!("can be asked for from {until} on")), "{}", answer.body);
}

#[test]
fn what_is_not_durable_can_be_asked_for_again() {
    let site = Site::new();
    // it is found before the disk is full
    site.get("/q/192.0.2.7");
    *site.kept.fails.lock().unwrap() = Some(Refusal::Storage { why: "disk /var/secret full".to_owned() });
    let failed = site.post("/q/192.0.2.7", OWN, FORM);
    assert_eq!(failed.status, 503);
    assert!(!failed.body.contains("secret"), "{}", failed.body);
    *site.kept.fails.lock().unwrap() = None;
    assert_eq!(site.post("/q/192.0.2.7", OWN, FORM).status, 303);
}

#[test]
fn a_form_is_told_what_is_wrong_with_it() {
    let site = Site::new();
    let refused = |body: &str| {
        let answer = site.post("/q/192.0.2.7", OWN, body);
        assert!(
            answer.status == 400 && answer.body.contains("<h1>The form cannot be sent like this</h1>"),
            "{answer:?}"
        );
        answer.body
    };
    assert!(refused("contact=nobody&text=x").contains("One e-mail address is needed"));
    assert!(refused("contact=a%40b.example&text=").contains("Say in some sentences"));
    // as many as the field takes: the page, and not the browser alone, says how many
    let said = |count| format!("contact=a%40b.example&text={}", "%C3%A4".repeat(count));
    assert!(refused(&said(401)).contains("room for 400 characters, and these are 401"));
    assert!(site.get("/q/192.0.2.7").body.contains("required maxlength=\"400\""));
    assert_eq!(site.post("/q/192.0.2.7", OWN, &said(400)).status, 303);
}

#[test]
fn only_the_page_itself_can_ask() {
    let site =
        Site::with(Listen { url: Some("https://www.lists.example".to_owned()), ..Listen::default() }, Vec::new());
    for headers in [
        "",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://lists.example\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Origin: null\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: http://lists.example.evil.example\r\n",
    ] {
        assert_eq!(site.post("/q/192.0.2.7", headers, FORM).status, 403, "{headers}");
    }
    assert!(site.kept.removals().is_empty());
    assert_eq!(site.post("/q/192.0.2.7", "Origin: http://lists.example\r\n", FORM).status, 303);
    assert_eq!(site.post("/q/listed.example", "Origin: https://www.lists.example\r\n", FORM).status, 303);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let site = Site::new();
    let long = format!("contact=a%40b.example&text={}", "x".repeat(5000));
    for (path, body, status) in [
        ("/q/192.0.2.7", "text=x", 400),
        ("/q/192.0.2.7", "contact=nobody&text=x", 400),
        ("/q/192.0.2.7", "contact=a%40b%0Ac.example&text=x", 400),
        ("/q/192.0.2.7", "contact=a%40b&text=x", 400),
        ("/q/192.0.2.7", "contact=%3Ca%40b.example%3E&text=x", 400),
        ("/q/192.0.2.7", "contact=a%40b.example%2Cc%40d.example&text=x", 400),
        ("/q/192.0.2.7", "contact=a%40b.example%3Fcc%3Devil&text=x", 400),
        ("/q/192.0.2.7", "contact=a%40b.example&text=+", 400),
        ("/q/192.0.2.7", "contact=a%40b.example&text=%ff", 400),
        ("/q/192.0.2.7", &long, 413),
        ("/q/192.0.2.9", FORM, 409),
        ("/q/hello", FORM, 400),
        ("/", FORM, 405),
    ] {
        let answer = site.post(path, OWN, body);
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
    }
    let json = site.raw(
        b"POST /q/192.0.2.7 HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\n\
          Content-Length: 2\r\n\r\n{}",
    );
    assert_eq!(json.status, 415);
    assert!(site.kept.removals().is_empty());
    let off = Site::with(Listen { removal: false, ..Listen::default() }, Vec::new());
    assert!(!off.get("/q/192.0.2.7").body.contains("Ask for a removal"));
    assert_eq!(off.post("/q/192.0.2.7", OWN, FORM).status, 409);
}
