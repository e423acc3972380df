//! The lookup page of a server that serves: live changes, since when, what is not shown, and requests for a removal.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use hickory_proto::op::ResponseCode;
use serde_json::{Value, json};

use crate::reloads::await_diff;
use crate::serve::{PATIENCE, Server, Site};

/// A list for everybody, and one for some.
const MORE: &str = r#"
[page]
addresses = ["127.0.0.1:0"]

[[dataset]]
name = "closed"
format = "plain"
files = "closed"

[[dataset]]
name = "clients"
format = "acl"
files = "clients"

[[zone]]
apex = "closed.example"
datasets = ["closed"]
access = "clients"

[[dataset]]
name = "customers"
format = "keys"
files = "customers"

[[zone]]
apex = "keyed.example"
datasets = ["closed"]
keys = "customers"

[[dataset]]
name = "digests"
format = "hashes"
files = "digests"
key = { hash = "sha1" }

[[zone]]
apex = "hash.example"
datasets = ["digests"]
"#;

fn site() -> Site {
    let site = Site::new();
    site.write_config(MORE);
    fs::write(site.list(), "192.0.2.0/28\n").unwrap();
    fs::write(site.0.path().join("closed"), "192.0.2.77\n").unwrap();
    fs::write(site.0.path().join("clients"), "127.0.0.0/8 :pass\n").unwrap();
    let digests = "fd46843006f90797b23f47d68afcf8c4c5e88eb1\ne6014362515f8edb3ffc1d340af8a18f0503efb1\n";
    fs::write(site.0.path().join("digests"), digests).unwrap();
    let customers = site.0.path().join("customers");
    fs::write(&customers, "acme 0123456789abcdefghij\n").unwrap();
    fs::set_permissions(&customers, fs::Permissions::from_mode(0o600)).unwrap();
    site
}

struct Page {
    server: Server,
    address: SocketAddr,
}

impl Page {
    fn start(site: &Site) -> Self {
        let server = site.start();
        let line = server.wait_for("page on http://");
        let address = line.split("http://").nth(1).unwrap().trim_end_matches('/').parse().unwrap();
        Self { server, address }
    }

    /// The status, head and body of an answer.
    fn ask(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    fn json(&self, subject: &str) -> Value {
        let (status, _, body) = self.get(&format!("/q/{subject}?format=json"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn post(&self, subject: &str) -> u16 {
        let body = "contact=anna%40shop.example&text=It+is+closed.";
        let length = body.len();
        self.ask(&format!(
            "POST /q/{subject} HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .0
    }
}

#[test]
fn a_live_change_is_on_the_page_at_once_and_whose_it_is_is_not() {
    let site = site();
    let page = Page::start(&site);
    let found = page.json("192.0.2.7");
    assert_eq!((&found["listed"], &found["zones"][0]["why"][0]["entry"]), (&true.into(), &"192.0.2.0/28".into()));
    let tag = |head: &str| head.lines().find(|line| line.starts_with("etag")).unwrap().to_owned();
    let before = tag(&page.get("/q/192.0.2.7").1);

    let remove = ["remove", "192.0.2.7", "--dataset", "list", "--reason", "secret talk", "--wait", "--expires", "3d"];
    site.done(&remove);
    let found = page.json("192.0.2.7");
    assert_eq!((&found["listed"], &found["standing"]), (&false.into(), &"none".into()), "{found}");
    let why = found["zones"][0]["why"].as_array().unwrap();
    let removed = why.iter().find(|reason| reason["kind"] == "removed").unwrap();
    assert!(removed["since"].is_string() && removed["until"].is_string(), "{removed}");
    let (_, head, body) = page.get("/q/192.0.2.7");
    assert_ne!(tag(&head), before);
    assert!(body.contains("Removed from <b>list</b> by the operator") && body.contains("Not listed"), "{body}");
    assert!(!body.contains("secret") && !body.contains("uid:"), "{body}");

    // its neighbors are as they were, and the field shows it
    let standings = found["around"]["standings"].as_array().unwrap();
    assert_eq!([&standings[6], &standings[7], &standings[15], &standings[16]], ["listed", "none", "listed", "none"]);
    site.done(&["add", "198.51.100.1", "--dataset", "list", "--wait"]);
    let found = page.json("198.51.100.1");
    assert_eq!(found["zones"][0]["why"][0]["kind"], "live", "{found}");
    assert!(page.server.end().success());
}

#[test]
fn since_when_is_known_of_what_entered_while_it_was_served() {
    let site = site();
    let page = Page::start(&site);
    assert!(page.json("192.0.2.7")["zones"][0]["why"][0].get("since").is_none());
    site.put(b"192.0.2.0/28\n203.0.113.9\n");
    page.server.signal("HUP");
    page.server.wait_for("reloaded took=");
    // what moved is found after it is served
    await_diff(&site, "203.0.113.9");
    let found = page.json("203.0.113.9");
    assert!(found["zones"][0]["why"][0]["since"].is_string(), "{found}");
}

#[test]
fn a_zone_for_some_is_not_shown_to_everybody() {
    let site = site();
    let page = Page::start(&site);
    site.done(&["lookup", "192.0.2.77"]);
    let found = page.json("192.0.2.77");
    assert_eq!((&found["listed"], found["zones"].as_array().unwrap().len()), (&false.into(), 1));
    assert_eq!(found["around"]["standings"][77], "none");
    // neither is anything of the control interface
    for path in ["/v1/status", "/v1/changes", "/openapi.json", "/v1/lookup?subject=192.0.2.1"] {
        assert_eq!(page.get(path).0, 404, "{path}");
    }
}

#[test]
fn the_operator_is_told_what_a_zone_for_some_holds_and_for_whom_it_is() {
    let site = site();
    fs::write(site.0.path().join("clients"), "127.0.0.0/8 :refuse\n").unwrap();
    let page = Page::start(&site);
    for zone in ["closed.example", "keyed.example"] {
        assert_eq!(page.server.rcode(&format!("77.2.0.192.{zone}")), ResponseCode::Refused, "{zone}");
    }
    let mut stream = UnixStream::connect(site.0.path().join("state/infamy.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /v1/lookup?subject=192.0.2.77 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let found: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let of = |index: usize, key: &str| found["zones"][index][key].clone();
    for (index, zone, listed, access) in [
        (0, "bl.example", false, Value::Null),
        (1, "closed.example", true, json!(["list"])),
        (2, "keyed.example", true, json!(["keys"])),
    ] {
        assert_eq!((of(index, "zone"), of(index, "listed"), of(index, "access")), (json!(zone), json!(listed), access));
    }
    assert_eq!((of(2, "a"), of(2, "status")), (json!(["127.0.0.2"]), json!("NOERROR")), "{found}");
    // the command, which reads the files, says the same
    let told = site.done(&["lookup", "192.0.2.77", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), found);
    let told = site.done(&["lookup", "192.0.2.77"]);
    assert!(told.contains("  keyed.example: listed, 127.0.0.2\n    only for those with a key\n"), "{told}");
    assert!(told.contains("\n    only for those whom the access list lets ask\n"), "{told}");
}

#[test]
fn a_request_waits_for_the_operator_across_restarts() {
    let site = site();
    let page = Page::start(&site);
    assert_eq!((page.post("192.0.2.7"), page.post("192.0.2.7")), (303, 429));
    // what a list has as a digest; `remove` takes it as it was asked for
    for subject in ["spammer@mail.example", "http://phish.example/login.php"] {
        assert_eq!((page.post(subject), page.post(subject)), (303, 429), "{subject}");
        let told = site.done(&["requests", subject]);
        assert!(told.contains(&format!("\t{subject}\t")), "{told}");
        site.done(&["remove", subject, "--dataset", "digests", "--wait"]);
        assert_eq!(page.json(subject)["listed"], false, "{subject}");
    }
    assert!(page.server.end().success());
    let page = Page::start(&site);
    assert_eq!(page.post("192.0.2.7"), 429);
    assert!(page.get("/q/192.0.2.7").2.contains("A removal was asked for"));
    let told = site.done(&["requests"]);
    let row: Vec<&str> = told.lines().nth(1).unwrap_or_default().split('\t').collect();
    assert_eq!(row[2..], ["192.0.2.7", "anna@shop.example", "127.0.0.1", "-", "It is closed."], "{told}");
    site.done(&["remove", "192.0.2.0/29", "--dataset", "list", "--wait"]);
    let told = site.done(&["requests", "192.0.2.7", "--json"]);
    let row: Value = serde_json::from_str(&told).unwrap();
    assert!(row["answered_by"].as_u64() > row["number"].as_u64(), "{told}");
    assert!(!site.run(&["requests", "198.51.100.0/24"]).status.success());
}

#[test]
fn what_was_copied_with_its_surroundings_is_found_and_what_is_no_subject_is_refused() {
    let site = site();
    let page = Page::start(&site);
    for written in ["192.0.2.7:25", "%E2%80%AA192.0.2.7%E2%80%AC", "192.0.2.7,", "7.2.0.192.bl.example"] {
        let (status, head, _) = page.get(&format!("/?q={written}"));
        assert_eq!((status, head.contains("location: /q/192.0.2.7\r\n")), (303, true), "{written}: {head}");
        assert_eq!(page.json(written)["listed"], true, "{written}");
    }
    // which zones there are for some is nobody's business
    assert_eq!(page.json("7.2.0.192.closed.example")["kind"], "domain");
    for written in
        ["192.0.2.011", "192.0.2.300", "192.0.2", "0x7f.1", "x@192.0.2.7", "%3Cscript%3Ealert(1)%3C/script%3E"]
    {
        let (status, _, body) = page.get(&format!("/q/{written}"));
        assert!(status == 400 && body.contains("Write it like 192.0.2.1"), "{written}: {status} {body}");
    }
}
