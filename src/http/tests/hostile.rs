//! Who means harm: refused, nothing changed, and the server alive.

use std::io::ErrorKind;

use super::*;

const CHANGE: &str = r#"{"action":"add","dataset":"drop","subjects":["192.0.2.1"]}"#;

/// A whole request over TCP that would change something, with these headers besides.
fn change(headers: &str) -> String {
    let length = CHANGE.len();
    format!(
        "POST /v1/changes HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{CHANGE}"
    )
}

fn quick() -> Limits {
    let soon = Duration::from_millis(300);
    Limits { head: soon, body: soon, idle: soon, ..Limits::default() }
}

#[test]
fn without_the_token_nothing_is_told() {
    let site = Site::new();
    let nearly = &TOKEN[..TOKEN.len() - 1];
    for authorization in [
        String::new(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: Bearer {nearly}\r\n"),
        format!("Authorization: Bearer {TOKEN}0\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: {TOKEN}\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n"),
        format!("Authorization: Bearer {}\r\n", "x".repeat(8000)),
        format!("X-Forwarded-For: 127.0.0.1\r\nCookie: token={TOKEN}\r\n"),
    ] {
        let answer = site.ask_tcp(&change(&format!("Host: 127.0.0.1\r\n{authorization}")));
        assert_eq!(answer.status, 401, "{authorization}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"infamy\""));
        assert!(answer.detail().contains("a token is needed"));
    }
    // not even which paths there are; the document is for everybody
    let get =
        |path: &str| site.ask_tcp(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    for path in ["/v1/status", "/nowhere", "/openapi.json/", "//openapi.json", "/openapi.json%00", "/x/../openapi.json"]
    {
        assert_eq!(get(path).status, 401, "{path}");
    }
    assert_eq!(get("/openapi.json?a").status, 200);
    site.is_well();
}

#[test]
fn a_web_page_cannot_ask() {
    let site = Site::new();
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for (headers, status) in [
        ("Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n", 403),
        ("Host: 127.0.0.1\r\nOrigin: null\r\n", 403),
        ("Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("Host: 127.0.0.1\r\nSec-Fetch-Site: same-site\r\n", 403),
        ("Host: evil.example\r\n", 421),
        ("Host: evil.example:8053\r\n", 421),
        ("Host: localhost.evil.example\r\n", 421),
        ("Host: 127.0.0.1.evil.example\r\n", 421),
        ("Host: [::1]evil\r\n", 421),
        ("Host: \r\n", 421),
        ("Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n", 400),
        ("", 400),
    ] {
        let answer = site.ask_tcp(&change(&format!("{headers}{token}")));
        assert_eq!(answer.status, status, "{headers}: {answer:?}");
    }
    site.is_well();
    for host in ["127.0.0.1", "127.0.0.1:8053", "[::1]:8053", "LOCALHOST:1", "bl.example"] {
        assert_eq!(site.ask_tcp(&change(&format!("Host: {host}\r\n{token}"))).status, 200, "{host}");
    }
}

#[test]
fn what_is_no_request_of_ours_is_refused() {
    let site = Site::new();
    let rest = "Host: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let headers = |count: usize| (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let post = "POST /v1/reload HTTP/1.1\r\n";
    for (request, status) in [
        (format!("POST /v1/reload HTTP/1.0\r\n{rest}"), 505),
        (format!("CONNECT evil.example:25 HTTP/1.1\r\n{rest}"), 400),
        (format!("POST http://evil.example/v1/reload HTTP/1.1\r\n{rest}"), 400),
        (format!("OPTIONS * HTTP/1.1\r\n{rest}"), 400),
        (format!("POST /v1/../v1/reload HTTP/1.1\r\n{rest}"), 404),
        (format!("POST //v1/reload HTTP/1.1\r\n{rest}"), 404),
        (format!("POST /v1%2freload HTTP/1.1\r\n{rest}"), 404),
        (format!("POST /v1/reload%00 HTTP/1.1\r\n{rest}"), 404),
        (format!("POST /V1/RELOAD HTTP/1.1\r\n{rest}"), 404),
        (format!("BREW /v1/reload HTTP/1.1\r\n{rest}"), 405),
        (format!("{post}{}{rest}", headers(70)), 431),
        (format!("{post}X: {}\r\n{rest}", "y".repeat(20_000)), 431),
        (format!("POST /v1/reload?{} HTTP/1.1\r\n{rest}", "x".repeat(20_000)), 431),
        (format!("{post}X: a\x00b\r\n{rest}"), 400),
        (format!("{post}X: a\r\n b\r\n{rest}"), 400),
        (format!("{post}X : a\r\n{rest}"), 400),
        (format!("{post}Content-Length: 1\r\n{rest}"), 400),
        (format!("{post}Content-Length: -1\r\nHost: x\r\n\r\n"), 400),
        (format!("{post}Transfer-Encoding: gzip\r\nHost: x\r\n\r\n"), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{7c}\x03\x03\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0),
    ] {
        let answer = Answered::read(site.unix(), &request);
        let begin: String = request.chars().take(60).collect();
        assert!(answer.status == status || status == 0, "{begin:?}: {answer:?}");
        assert_ne!(answer.status, 200, "{begin:?}");
    }
    site.is_well();
}

#[test]
fn a_length_and_an_encoding_are_not_two_requests() {
    let site = Site::new();
    // behind a proxy that believes the other of the two, the second would be somebody else's request
    let smuggled = "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let body = format!("0\r\n\r\n{smuggled}");
    let length = body.len();
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
    );
    let mut stream = site.unix();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    assert!(text.matches("HTTP/1.1 ").count() <= 1, "{text}");
    site.is_well();
}

#[test]
fn a_body_without_end_is_refused_before_it_is_read() {
    let site = Site::new();
    let head = "POST /v1/changes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let answer = Answered::read(site.unix(), &format!("{head}Content-Length: 1073741824\r\n\r\n{{"));
    assert_eq!(answer.status, 413);
    assert!(answer.detail().contains("at most 4194304 bytes"));
    // the same without saying so: it ends at the limit, however long the client goes on
    let mut stream = site.unix();
    stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    while stream.write_all(chunk.as_bytes()).is_ok() && sent < 1 << 30 {
        sent += 0x10000;
    }
    assert!(sent < 64 << 20, "{sent} bytes were read");
    // a chunk that claims to be all there is
    let answer = Answered::read(
        site.unix(),
        &format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nfffffffffffffffff\r\n"),
    );
    assert_eq!(answer.status, 400);
    site.is_well();
}

#[test]
fn deep_and_broken_json_is_refused() {
    let site = Site::new();
    let head = "POST /v1/changes HTTP/1.1\r\nContent-Type: application/json";
    for body in [
        "[".repeat(100_000),
        format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000)),
        "\u{feff}{}".to_owned(),
        "{\"action\":\"add\",\"action\":\"add\",\"dataset\":\"d\",\"subjects\":[\"a\"]}".to_owned(),
        "\"\\ud800\"".to_owned(),
        "1e999999999".to_owned(),
        format!("{CHANGE}{CHANGE}"),
    ] {
        assert_eq!(site.ask(head, &body).status, 400, "{body:.40}");
        assert!(matches!(site.ask(&head.replace("changes", "reports"), &body).status, 400 | 422), "{body:.40}");
    }
    let lines = format!("{}\n{}\n", "[".repeat(10_000), "{\"source\":".repeat(1000));
    let head = "POST /v1/reports HTTP/1.1\r\nContent-Type: application/jsonl";
    assert_eq!(site.ask(head, &lines).json()["refused"], 2);
    site.is_well();
}

#[test]
fn what_was_written_comes_back_in_no_header_and_on_no_line_of_its_own() {
    let site = Site::new();
    let answer = site.ask("POST /v1/datasets/a%0d%0aSet-Cookie:%20b=c/accept HTTP/1.1", "");
    assert_eq!(answer.status, 422);
    assert_eq!(answer.header("set-cookie"), None);
    let answer = site.ask("POST /v1/datasets/%3Cscript%3E%22/accept HTTP/1.1", "");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.detail(), "dataset <script>\": there is none");
    assert_eq!(site.kept.state().asked, [format!("accept <script>\" uid:{}", nix::unistd::getuid())]);
}

#[test]
fn who_is_slow_is_closed() {
    let site = Site::with(quick());
    // a head by the byte, a body by the byte, a line by the byte, an answer and then nothing
    let head = "POST /v1/changes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n";
    let lines = "POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 500\r\n\r\ntime,source,subject\n";
    let status = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
    for (begin, answered) in [("GET /", 0), ("", 0), (head, 408), (lines, 408), (status, 200)] {
        let mut stream = site.unix();
        stream.write_all(begin.as_bytes()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let slow = thread::spawn(move || {
            while writer.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        slow.join().unwrap();
        assert_eq!(Answered::parse(&String::from_utf8_lossy(&text)).status, answered, "{begin}");
    }
    site.is_well();
}

#[test]
fn who_does_not_read_is_closed() {
    let site = Site::with(quick());
    let mut stream = site.unix();
    // more answers than the socket holds, and none is read
    let many = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let end = loop {
        if let Err(end) = stream.write_all(many.as_bytes()) {
            break end;
        }
    };
    assert!(matches!(end.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{end}");
    site.is_well();
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let site = Site::new();
    let mut stream = site.unix();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let all = [
        get("/v1/status"),
        get("/nowhere"),
        get("/v1/lookup?subject=a"),
        get("/v1/status").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    ]
    .concat();
    stream.write_all(all.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let statuses: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200", "200"]);
}

#[test]
fn nobody_has_all_connections() {
    let limits = Limits { connections: 4, connections_per_client: 3, ..Limits::default() };
    let site = Site::with(limits);
    let mut held: Vec<TcpStream> = (0..3).map(|_| site.tcp()).collect();
    until("the fourth is refused", || {
        let mut fourth = site.tcp();
        matches!(fourth.read(&mut [0]), Ok(0) | Err(_))
    });
    // those of the other door are counted apart
    site.is_well();
    held.truncate(2);
    until("there is room again", || {
        let request = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let mut stream = site.tcp();
        let _ = stream.write_all(request.as_bytes());
        let mut text = String::new();
        stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200")
    });
}
