//! The lookup page in Chromium: what it shows, what it asks for, and how it looks, with screenshots in `target/tmp/page`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::Program;
use crate::lab;

/// The example zones with a store and a page.
struct Site {
    program: Option<Program>,
    folder: TempDir,
    page: SocketAddr,
}

impl Site {
    fn serve() -> Self {
        let folder = lab::folder();
        let zones = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones");
        assert!(Command::new("cp").arg("-r").arg(&zones).arg(folder.path()).status().unwrap().success());
        let config = folder.path().join("zones/infamy.toml");
        let (dns, page) = lab::two_free_addresses();
        let text = fs::read_to_string(&config).unwrap().replace("127.0.0.1:5300", &dns.to_string());
        let more = format!(
            "\n[server]\nstate-directory = \".\"\n\n[page]\naddresses = [\"{page}\"]\nname = \"Example lists\"\n\
             contact = \"postmaster@bl.example\"\n"
        );
        fs::write(&config, text + &more).unwrap();
        let mut site = Self { program: None, folder, page };
        site.start();
        site
    }

    /// Starts the server, after the end of the one before.
    fn start(&mut self) {
        self.program = None;
        let log = self.folder.path().join("infamy.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
        let program = Program::start(command.arg("serve").arg(self.config()), &log);
        self.program
            .insert(program)
            .wait_until(&log, || fs::read_to_string(&log).is_ok_and(|log| log.contains("page on http://")));
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("zones/infamy.toml")
    }

    fn infamy(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
        command.args(&arguments[..1]).arg("--config").arg(self.config());
        let output = command.args(&arguments[1..]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.page))
    }

    fn post(&self, path: &str, body: &str) -> String {
        let page = self.page;
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {page}\r\nOrigin: http://{page}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.page).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Hands connections on, and keeps the first line of every request. `/submit` is its own: it sends the form for a removal,
/// with a script that the page itself does not have.
struct Tap {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tap {
    fn before(page: SocketAddr, form: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let lines = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(client), Ok(server)) = (stream, TcpStream::connect(page)) else { continue };
                let (lines, form) = (lines.clone(), form.clone());
                let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (mut from_server, mut to_client, mut own) = (server, client.try_clone().unwrap(), client);
                thread::spawn(move || {
                    let mut chunk = [0; 16_384];
                    while let Ok(length @ 1..) = from_client.read(&mut chunk) {
                        let text = String::from_utf8_lossy(&chunk[..length]);
                        let heads = text.lines().filter(|line| line.ends_with(" HTTP/1.1"));
                        lines.lock().unwrap().extend(heads.map(str::to_owned));
                        if text.starts_with("GET /submit ") {
                            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nReferrer-Policy: same-origin";
                            let _ = write!(own, "{head}\r\nContent-Length: {}\r\n\r\n{form}", form.len());
                        } else if to_server.write_all(&chunk[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = to_server.shutdown(std::net::Shutdown::Write);
                });
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from_server, &mut to_client);
                });
            }
        });
        Self { address, asked }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// Runs Chromium on a page, with a profile that has nothing but these settings; what it prints, and what it complains of.
pub(crate) fn chromium(settings: &str, url: &str, arguments: &[String]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    fs::write(profile.path().join("Local State"), settings).unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--hide-scrollbars", "--force-device-scale-factor=1", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr))
}

/// What a page says of itself to the console: content policy, failed loads, errors.
fn complaints(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("CONSOLE") || line.contains("Content Security Policy")).collect()
}

/// The document as Chromium has it.
fn dom(url: &str) -> String {
    let (document, log) = chromium("{}", url, &["--dump-dom".to_owned()]);
    assert_eq!(complaints(&log), Vec::<&str>::new(), "{url}");
    document
}

fn screenshot(url: &str, name: &str, width: u32, height: u32, is_dark: bool) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}-{width}-{}.png", if is_dark { "dark" } else { "light" }));
    let mut arguments = vec![format!("--screenshot={}", path.display()), format!("--window-size={width},{height}")];
    arguments.extend(is_dark.then(|| "--force-dark-mode".to_owned()));
    let (_, log) = chromium("{}", url, &arguments);
    assert_eq!(complaints(&log), Vec::<&str>::new(), "{url}");
    let length = fs::metadata(&path).map_or(0, |file| file.len());
    assert!(length > 2000, "{}: {length} bytes\n{log}", path.display());
    eprintln!("{} {length} bytes", path.display());
}

#[test]
#[ignore = "needs chromium"]
fn the_page_shows_what_is_listed_and_why_with_one_request() {
    let site = Site::serve();
    let tap = Tap::before(site.page, String::new());
    let of = |subject: &str| format!("http://{}/q/{subject}", tap.address);
    let told: [(&str, &[&str]); 7] = [
        ("203.0.113.4", &["Listed", "block.rep.example", "127.0.0.2", "AS64500", "Ask for a removal", "Until"]),
        ("203.0.113.9", &["Not listed itself", "net.rep.example", "suspicious neighborhood", "× mean"]),
        ("192.0.2.11", &["Listed", "Dictionary attack from 192.0.2.11", "senders", "192.0.2.11"]),
        ("2001:db8:bad:1::1", &["Listed", "2001:db8:bad::/48", "until the list no longer has it", "Announced"]),
        ("xn--mnchen-3ya.example", &["xn--mnchen-3ya.example", "münchen.example", "Not listed"]),
        ("login.evil.example", &["evil.example", "What was reported of it and around it"]),
        ("192.0.2.1", &["Not listed", "No list here has it."]),
    ];
    for (subject, words) in told {
        let document = dom(&of(subject));
        for word in words {
            assert!(document.contains(word), "{subject}: {word}: {document}");
        }
        let length = site.get(&format!("/q/{subject}")).len();
        assert!(length < 50_000, "{subject}: {length} bytes");
        eprintln!("{subject}: {length} bytes");
        assert_eq!(tap.take(), [format!("GET /q/{subject} HTTP/1.1")], "one request is all");
    }
    let begin = dom(&format!("http://{}/", tap.address));
    assert!(begin.contains("Is it listed, and why?"), "{begin}");
    assert_eq!(tap.take(), ["GET / HTTP/1.1"]);
    let wrong = dom(&of("hello"));
    assert!(wrong.contains("Write it like 192.0.2.1"), "{wrong}");
}

#[test]
#[ignore = "needs chromium"]
fn the_page_looks_as_it_should() {
    let site = Site::serve();
    let of = |path: &str| format!("http://{}{path}", site.page);
    for is_dark in [false, true] {
        for (width, height) in [(360, 3200), (1280, 2400)] {
            screenshot(&of("/q/203.0.113.4"), "listed", width, height, is_dark);
        }
        screenshot(&of("/q/203.0.113.9"), "around", 1280, 2400, is_dark);
        screenshot(&of("/"), "begin", 360, 700, is_dark);
    }
    screenshot(&of("/"), "begin", 1280, 700, false);
    screenshot(&of("/q/login.evil.example"), "name", 360, 2400, false);
    screenshot(&of("/q/login.evil.example"), "name", 1280, 1600, false);
    screenshot(&of("/q/192.0.2.1"), "none", 360, 2000, false);
    screenshot(&of("/q/hello"), "wrong", 360, 700, false);
}

#[test]
#[ignore = "needs chromium, and runs beside its tests"]
fn a_request_reaches_the_operator_and_outlives_the_server() {
    let mut site = Site::serve();
    assert!(!site.infamy(&["requests"]).0, "nobody has asked yet");
    let form = "contact=anna%40shop.example&text=The+form+is+closed.";
    let answer = site.post("/q/203.0.113.4", form);
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    assert!(site.post("/q/203.0.113.4", form).starts_with("HTTP/1.1 429 "));
    let (_, told) = site.infamy(&["requests", "203.0.113.0/24"]);
    let row: Vec<&str> = told.lines().nth(1).unwrap_or_default().split('\t').collect();
    assert_eq!(row[2..], ["203.0.113.4", "anna@shop.example", "127.0.0.1", "-", "The form is closed."], "{told}");
    assert!(dom(&format!("http://{}/q/203.0.113.4", site.page)).contains("A removal was asked for"));
    assert!(!site.infamy(&["requests", "192.0.2.0/24"]).0);
    site.start();
    assert!(site.post("/q/203.0.113.4", form).starts_with("HTTP/1.1 429 "));
}

/// A page that sends the form for a removal by itself.
fn submitting(to: &str) -> String {
    format!(
        "<form method=post action=\"{to}\"><input name=contact value=anna@shop.example><input name=text value=Mended>\
         </form><script>document.forms[0].submit()</script>"
    )
}

#[test]
#[ignore = "needs chromium"]
fn a_browser_can_ask_from_the_page_itself_and_from_nowhere_else() {
    let site = Site::serve();
    let submitted = |tap: &Tap| {
        let wait = ["--dump-dom", "--virtual-time-budget=10000"].map(str::to_owned);
        chromium("{}", &format!("http://{}/submit", tap.address), &wait).0
    };
    // another port is another origin
    let other = Tap::before(site.page, submitting(&format!("http://{}/q/203.0.113.4", site.page)));
    let document = submitted(&other);
    assert!(document.contains("Only the form of this page can ask"), "{document}");
    assert!(!site.infamy(&["requests"]).0);
    let own = Tap::before(site.page, submitting("/q/203.0.113.4"));
    let document = submitted(&own);
    assert!(document.contains("A removal was asked for"), "{document}");
    assert!(site.infamy(&["requests", "203.0.113.4"]).0);
}
