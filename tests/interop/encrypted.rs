//! The encrypted doors of a running infamy, asked by kdig and curl: what they print is what plain DNS has them print. And
//! by a browser, which asks more than they do.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rcgen::PublicKeyData;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::harness::{Program, ask, free_address};
use crate::lab::{ask_patiently, folder};
use crate::page::chromium;
use crate::wire::{Message, Opt, Query, TYPE_A, TYPE_SOA, TYPE_TXT};

#[test]
#[ignore = "needs knot-dnsutils"]
fn kdig_prints_the_same_over_every_door() {
    let infamy = Infamy::serve();
    for question in
        [["1.2.0.192.bl.example", "A"], ["1.2.0.192.bl.example", "TXT"], ["2.bl.example", "A"], ["bl.example", "SOA"]]
    {
        let plain = infamy.kdig(infamy.plain, &["+notcp"], &question);
        assert!(plain.contains("status: ") && !plain.contains("WARNING"), "{plain}");
        for (address, options) in [
            (infamy.plain, &["+tcp"][..]),
            (infamy.tls, &["+tls"]),
            (infamy.https, &["+https"]),
            (infamy.https, &["+https", "+https-get"]),
            (infamy.quic, &["+quic"]),
        ] {
            let printed = infamy.kdig(address, options, &question);
            assert_eq!(printed, plain, "{options:?}");
            eprintln!("{}: {}", options.join(" "), printed.lines().last().unwrap_or_default());
        }
    }
}

#[test]
#[ignore = "needs knot-dnsutils"]
fn kdig_gets_a_renewed_certificate_without_a_restart() {
    let infamy = Infamy::serve();
    let question = ["1.2.0.192.bl.example", "A"];
    let before = infamy.kdig(infamy.plain, &["+notcp"], &question);
    // the new one is trusted, the old one no more
    certify(infamy.folder.path());
    let doors = [(infamy.tls, "+tls"), (infamy.https, "+https"), (infamy.quic, "+quic")];
    for (address, option) in doors {
        assert_ne!(infamy.kdig(address, &[option], &question), before, "{option} before the signal");
    }
    assert!(Command::new("kill").arg("-HUP").arg(infamy.program.id().to_string()).status().unwrap().success());
    for (address, option) in doors {
        // the signal is on its way, and there is no answer until it has come
        let renewed = (0..100).any(|_| {
            let is_renewed = infamy.kdig(address, &[option], &question) == before;
            if !is_renewed {
                thread::sleep(std::time::Duration::from_millis(50));
            }
            is_renewed
        });
        assert!(renewed, "{option} after the signal");
    }
}

#[test]
#[ignore = "needs curl"]
fn curl_posts_and_gets_the_bytes_that_udp_has() {
    let infamy = Infamy::serve();
    let url = format!("https://localhost:{}/dns-query", infamy.https.port());
    for query in [
        Query::new("1.2.0.192.bl.example", TYPE_A),
        Query { edns: Some(Opt::of_size(1232)), ..Query::new("1.2.0.192.bL.eXample", TYPE_TXT) },
        Query::new("bl.example", TYPE_SOA),
        Query { edns: Some(Opt::of_size(512)), ..Query::new("2.2.0.192.bl.example", TYPE_A) },
        Query::new("other.example", TYPE_A),
    ] {
        let has_names = query.qtype == TYPE_SOA;
        let query = query.bytes();
        let over_udp = ask_patiently(infamy.plain, &query);
        let file = infamy.folder.path().join("query");
        fs::write(&file, &query).unwrap();
        let body = format!("@{}", file.display());
        let in_url = format!("{url}?dns={}", data_encoding::BASE64URL_NOPAD.encode(&query));
        let message = "content-type: application/dns-message";
        for arguments in [&["-H", message, "--data-binary", &body, &url][..], &[&in_url]] {
            let (status, reply) = infamy.curl(arguments);
            assert_eq!(status, "2 200 application/dns-message", "{arguments:?}");
            if has_names {
                // only one of the two writers compresses names inside of data
                assert_eq!(Message::read(&reply), Message::read(&over_udp), "{arguments:?}");
            } else {
                assert_eq!(reply, over_udp, "{arguments:?}");
            }
        }
    }
    assert_eq!(infamy.curl(&["-X", "PUT", &url]).0, "2 405 text/plain");
    assert_eq!(infamy.curl(&["-d", "name=example", &url]).0, "2 415 text/plain");
    assert_eq!(infamy.curl(&[&format!("{url}?name=bl.example&type=A")]).0, "2 400 text/plain");
    let elsewhere = format!("https://localhost:{}/", infamy.https.port());
    assert_eq!(infamy.curl(&[&elsewhere]).0, "2 404 text/plain");
    // who knows HTTP/1.1 alone gets no handshake
    assert_eq!(infamy.curl(&["--http1.1", &elsewhere]).0, "0 000 ");
}

#[test]
#[ignore = "needs curl"]
fn curl_resolves_by_it() {
    let infamy = Infamy::serve();
    // what is listed has the address 127.0.0.2, which is one of this machine
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nlisted").unwrap();
    });
    let resolver = format!("https://127.0.0.1:{}/dns-query", infamy.https.port());
    let url = format!("http://1.2.0.192.bl.example:{port}/");
    let (status, body) = infamy.curl(&["--doh-url", &resolver, &url]);
    assert_eq!((status.as_str(), &body[..]), ("1.1 200 ", &b"listed"[..]));
    page.join().unwrap();
    assert_eq!(infamy.curl(&["--doh-url", &resolver, &format!("http://9.2.0.192.bl.example:{port}/")]).0, "0 000 ");
}

#[test]
#[ignore = "needs chromium"]
fn a_browser_resolves_by_it_and_by_nothing_else() {
    const LISTED: &str = "1.2.0.192.bl.example";
    const UNLISTED: &str = "9.2.0.192.bl.example";
    let mut infamy = Infamy::serve();
    // what is listed has the address 127.0.0.2, which is one of this machine
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 18\r\nconnection: close";
            let _ = write!(stream, "{head}\r\n\r\n<p>shown by listed");
        }
    });
    let template = format!("https://{}/dns-query", infamy.https);
    let settings = json!({ "dns_over_https": { "mode": "secure", "templates": template } }).to_string();
    let show = |host: &str, pin: &str| {
        let arguments = ["--dump-dom".to_owned(), format!("--ignore-certificate-errors-spki-list={pin}")];
        chromium(&settings, &format!("http://{host}/"), &arguments)
    };
    let no_name = |(document, log): &(String, String)| {
        document.is_empty() && log.contains("Page load failed: net::ERR_NAME_NOT_RESOLVED")
    };
    let (document, log) = show(&format!("{LISTED}:{port}"), &infamy.pin);
    assert!(document.contains("<p>shown by listed</p>"), "{document}{log}");
    let unlisted = show(&format!("{UNLISTED}:{port}"), &infamy.pin);
    assert!(no_name(&unlisted), "{unlisted:?}");
    // at the usual port it asks for HTTPS records of the name itself; who answers there is nobody of ours
    show(LISTED, &infamy.pin);
    // no door that it does not trust is asked, and nobody else
    let stranger = show(&format!("{LISTED}:{port}"), &pin(b""));
    assert!(no_name(&stranger), "{stranger:?}");

    let expected = BTreeSet::from([
        format!("{LISTED} A NOERROR 1"),
        format!("{LISTED} AAAA NOERROR 0"),
        format!("{LISTED} HTTPS NOERROR 0"),
        format!("_{port}._https.{LISTED} HTTPS NXDOMAIN 0"),
        format!("{UNLISTED} A NXDOMAIN 0"),
        format!("{UNLISTED} AAAA NXDOMAIN 0"),
        format!("_{port}._https.{UNLISTED} HTTPS NXDOMAIN 0"),
    ]);
    let [queries, log] = ["queries", "infamy.log"].map(|name| infamy.folder.path().join(name));
    let told = || -> BTreeSet<String> {
        let text = fs::read_to_string(&queries).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_zone = lines.filter(|line| line["transport"] == "https" && line["zone"] == "bl.example");
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = |line: Value| {
            let [name, qtype, rcode] = ["name", "type", "rcode"].map(|key| word(&line[key]));
            format!("{name} {qtype} {rcode} {}", line["answers"])
        };
        of_zone.map(line).collect()
    };
    infamy.program.wait_until(&log, || told().is_superset(&expected));
    assert_eq!(told(), expected, "and nothing else");
}

/// A running infamy with all doors open.
struct Infamy {
    program: Program,
    folder: TempDir,
    /// By what its key is known.
    pin: String,
    plain: SocketAddr,
    tls: SocketAddr,
    https: SocketAddr,
    quic: SocketAddr,
}

impl Infamy {
    fn serve() -> Self {
        let folder = folder();
        let pin = certify(folder.path());
        let queries = folder.path().join("queries");
        fs::write(&queries, "").unwrap();
        fs::set_permissions(&queries, fs::Permissions::from_mode(0o666)).unwrap();
        let [plain, tls, https] = different();
        // datagrams of the same port are another door's
        let quic = tls;
        fs::write(
            folder.path().join("list"),
            ":127.0.0.2:Trap hit, see https://bl.example/q/$\n192.0.2.1\n192.0.2.2\n",
        )
        .unwrap();
        let door = |name: &str, address: SocketAddr| {
            format!("[listen.{name}]\naddresses = [\"{address}\"]\ncertificate = \"chain\"\nkey = \"key\"\n")
        };
        let config = folder.path().join("infamy.toml");
        let is_root = nix::unistd::Uid::effective().is_root();
        let server = if is_root { "[server]\nuser = \"nobody\"\n" } else { "" };
        let text = format!(
            "version = 1\n{server}[listen]\naddresses = [\"{plain}\"]\nudp-workers = 1\n{}{}{}\
             [never-list]\nenabled = false\n[query-log]\nfile = \"queries\"\n\
             [[dataset]]\nname = \"list\"\nformat = \"ip4set\"\nfiles = \"list\"\n\
             [[zone]]\napex = \"bl.example\"\ndatasets = [\"list\"]\n",
            door("tls", tls),
            door("https", https),
            door("quic", quic),
        );
        fs::write(&config, text).unwrap();
        let log = folder.path().join("infamy.log");
        let mut program = Program::start(Command::new(env!("CARGO_BIN_EXE_infamy")).arg("serve").arg(&config), &log);
        let probe = Query::new("bl.example", TYPE_SOA).bytes();
        program.wait_until(&log, || ask(plain, &probe).is_some());
        // all that follows goes without the system calls that are closed where root gives itself up
        let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
        assert!(!is_root || status.contains("\nSeccomp:\t2\n"), "{status}");
        Self { program, folder, pin, plain, tls, https, quic }
    }

    /// What kdig prints of the reply, without its id and how it came.
    fn kdig(&self, address: SocketAddr, options: &[&str], question: &[&str; 2]) -> String {
        let mut kdig = Command::new("kdig");
        kdig.arg(format!("@{}", address.ip())).args([
            "-p",
            &address.port().to_string(),
            "+retry=0",
            "+time=5",
            "+edns",
        ]);
        if !options[0].contains("tcp") {
            let chain = self.folder.path().join("chain");
            kdig.arg(format!("+tls-ca={}", chain.display())).arg("+tls-hostname=localhost");
        }
        // behind those, which mean TLS over TCP otherwise
        kdig.args(options);
        kdig.args(["+noall", "+header", "+question", "+answer", "+authority"]).args(question);
        let output = kdig.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        let is_session = |line: &str| line.contains(" session (");
        let lines = printed.lines().filter(|line| !is_session(line));
        lines.map(|line| line.split("; id: ").next().unwrap_or_default().to_owned() + "\n").collect()
    }

    /// Version, status and type of the response, and its body.
    fn curl(&self, arguments: &[&str]) -> (String, Vec<u8>) {
        let out = self.folder.path().join("out");
        let _ = fs::remove_file(&out);
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "--http2",
            "--noproxy",
            "*",
            "--max-time",
            "10",
            "-w",
            "%{http_version} %{http_code} %{content_type}",
        ]);
        curl.arg("--cacert").arg(self.folder.path().join("chain")).arg("-o").arg(&out).args(arguments);
        let printed = String::from_utf8(curl.output().unwrap().stdout).unwrap();
        (printed, fs::read(out).unwrap_or_default())
    }
}

/// Writes a new self-signed certificate and its key; by what that is known.
fn certify(folder: &Path) -> String {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    let write = |name: &str, text: String| fs::write(PathBuf::from(folder).join(name), text).unwrap();
    write("chain", certified.cert.pem());
    write("key", certified.signing_key.serialize_pem());
    pin(&certified.signing_key.subject_public_key_info())
}

/// A public key as browsers are told of it.
fn pin(key: &[u8]) -> String {
    data_encoding::BASE64.encode(&Sha256::digest(key))
}

/// Loopback addresses with free ports, each another.
fn different() -> [SocketAddr; 3] {
    let mut found: Vec<SocketAddr> = Vec::new();
    while found.len() < 3 {
        let address = free_address();
        if !found.contains(&address) {
            found.push(address);
        }
    }
    [found[0], found[1], found[2]]
}
