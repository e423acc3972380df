//! What an operator watches: metrics that add up with what was asked, the query log, dnstap's absence, and `infamy top`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::serve::{A, PATIENCE, PROGRAM, Server, Site, query};

const TXT: u16 = 16;
const SOA: u16 = 6;

/// A site with more in its configuration, and an address for metrics.
fn site(more: &str) -> Site {
    let site = Site::new();
    site.write_config(&format!("[control]\nmetrics = [\"127.0.0.1:0\"]\n{more}"));
    site
}

/// Starts the server; it, and where its metrics are.
fn start(site: &Site) -> (Server, String) {
    let server = site.start();
    let line = server.wait_for("metrics on http://");
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    (server, address)
}

fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// The samples of a text, by name and labels.
#[derive(Debug)]
struct Samples(BTreeMap<(String, BTreeMap<String, String>), f64>);

impl Samples {
    /// Reads the text format strictly: what is not of it fails.
    fn read(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        let mut types: BTreeMap<String, String> = BTreeMap::new();
        let mut current = String::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(!types.contains_key(&current), "{current} is there twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, current);
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = Self::read_sample(line);
                let is_histogram = types[&current] == "histogram";
                let suffixes: &[&str] = if is_histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.iter().any(|suffix| name == current.clone() + suffix), "{line} under {current}");
                assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
            }
        }
        Self(samples)
    }

    fn read_sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            let mut chars = inner.char_indices();
            let mut begin = 0;
            loop {
                let equals = chars.find(|&(_, char)| char == '=').unwrap().0;
                let label = inner[begin..equals].trim_start_matches(',').to_owned();
                assert_eq!(chars.next().unwrap().1, '"');
                let mut value = String::new();
                loop {
                    match chars.next().unwrap().1 {
                        '"' => break,
                        '\\' => value.push(match chars.next().unwrap().1 {
                            'n' => '\n',
                            other => other,
                        }),
                        other => value.push(other),
                    }
                }
                assert!(labels.insert(label, value).is_none(), "{line}");
                let (at, next) = chars.next().unwrap();
                if next == '}' {
                    rest = &inner[at + 1..];
                    break;
                }
                assert_eq!(next, ',');
                begin = at;
            }
        }
        (name.to_owned(), labels, rest.strip_prefix(' ').unwrap().parse().unwrap())
    }

    /// The sum of all samples with these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |all: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| all.get(*label).is_some_and(|found| found == value))
        };
        self.0.iter().filter(|((found, all), _)| found == name && has(all)).map(|(_, value)| value).sum()
    }

    /// All values of a label.
    fn values(&self, label: &str) -> BTreeSet<&str> {
        self.0.keys().filter_map(|(_, labels)| labels.get(label).map(String::as_str)).collect()
    }
}

#[test]
fn metrics_add_up_with_what_was_asked() {
    let site = site("");
    let (server, address) = start(&site);
    for _ in 0..5 {
        server.ask("1.2.0.192.bl.example", A);
    }
    server.ask("1.2.0.192.bl.example", TXT);
    server.ask("1.2.0.192.bl.example", 28);
    server.ask("2.2.0.192.bl.example", A);
    server.ask("2.2.0.192.bl.example", 4711);
    server.ask("0.192.bl.example", A);
    server.ask("bl.example", SOA);
    server.ask("www.elsewhere.example", A);
    server.ask_tcp("1.2.0.192.bl.example", A);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"short", server.address).unwrap();
    // what cannot be read has a reply all the same, and is behind the short one
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&query("x", A)[..14], server.address).unwrap();
    socket.recv(&mut [0; 512]).unwrap();

    let samples = Samples::read(&scrape(&address));
    let queries = |labels: &[(&str, &str)]| samples.sum("infamy_queries_total", labels);
    let bl = ("zone", "bl.example");
    for (labels, count) in [
        (&[][..], 15.0),
        (&[bl][..], 12.0),
        (&[bl, ("result", "listed")], 6.0),
        (&[bl, ("result", "listed"), ("transport", "tcp")], 1.0),
        (&[bl, ("result", "unlisted")], 2.0),
        (&[bl, ("result", "unlisted"), ("qtype", "other")], 1.0),
        // the list has no texts
        (&[bl, ("result", "ent"), ("qtype", "TXT")], 1.0),
        (&[bl, ("result", "ent")], 3.0),
        (&[bl, ("result", "other"), ("qtype", "SOA")], 1.0),
        (&[("zone", "(none)")], 3.0),
        (&[("zone", "(none)"), ("result", "refused")], 1.0),
        (&[("result", "dropped"), ("qtype", "none")], 1.0),
        (&[("result", "error"), ("qtype", "none")], 1.0),
    ] {
        assert_eq!(queries(labels), count, "{labels:?}: {samples:#?}");
    }
    // a batch is timed when its replies are gone
    until("all are timed", || Samples::read(&scrape(&address)).sum("infamy_query_duration_seconds_count", &[]) == 15.0);
    let samples = Samples::read(&scrape(&address));
    let of = |name: &str| samples.sum(name, &[]);
    assert_eq!(samples.sum("infamy_query_duration_seconds_bucket", &[("le", "+Inf")]), 15.0);
    let seconds = of("infamy_query_duration_seconds_sum");
    assert!(seconds > 0.0 && seconds < 30.0, "{seconds}");
    let asked = (12 + "1.2.0.192.bl.example".len() + 2 + 4) as f64;
    assert!(samples.sum("infamy_received_bytes_total", &[bl]) > 8.0 * asked);
    assert!(samples.sum("infamy_sent_bytes_total", &[bl]) > samples.sum("infamy_received_bytes_total", &[bl]));
    assert_eq!(samples.sum("infamy_zone_serial", &[bl]), f64::from(server.serial("bl.example")));
    assert_eq!(samples.sum("infamy_feed_entries", &[("feed", "list")]), 1.0);
    assert_eq!(samples.sum("infamy_zone_entries", &[bl]), 1.0);
    assert_eq!((of("infamy_zone_available"), of("infamy_feed_failing"), of("infamy_build_info")), (1.0, 0.0, 1.0));
    let loaded = of("infamy_feed_last_success_timestamp_seconds");
    assert!((0.0..60.0).contains(&(now() - loaded)), "{loaded}");
    assert!(of("process_resident_memory_bytes") > 1e6 && of("process_cpu_seconds_total") > 0.0);
    assert!(server.end().success());
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn no_text_of_a_query_comes_into_the_metrics() {
    let site = site("");
    let (server, address) = start(&site);
    let before = scrape(&address).lines().count();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hostile = ["hostile\"} 1\ninfamy_panics_total 9", "hostile\\\r\n#", "hostile{x=\"y\"}", "hostile\0\u{ff}"];
    for (number, label) in (0..).zip(hostile.iter().cycle().take(200)) {
        for zone in [".bl.example", ".elsewhere.example", ""] {
            let mut message = query(&format!("{label}{number}{zone}"), 1000 + number);
            // and of every class
            let length = message.len();
            message[length - 1] = number as u8;
            socket.send_to(&message, server.address).unwrap();
            socket.recv(&mut [0; 1232]).unwrap();
        }
    }
    let text = scrape(&address);
    assert!(!text.contains("hostile"), "{text}");
    let samples = Samples::read(&text);
    assert_eq!(samples.sum("infamy_queries_total", &[("qtype", "other")]), 600.0);
    assert_eq!(samples.values("zone"), BTreeSet::from(["(none)", "bl.example"]));
    assert_eq!(samples.sum("infamy_panics_total", &[]), 0.0);
    // series do not come by being asked for
    assert!(text.lines().count() < before + 40, "{text}");
    assert!(server.end().success());
}

#[test]
fn a_zone_keeps_its_counts_through_changes_of_the_configuration() {
    let site = site("");
    let (server, address) = start(&site);
    server.ask("1.2.0.192.bl.example", A);
    let config = fs::read_to_string(site.config()).unwrap();
    let first = "[[zone]]\napex = \"first.example\"\ndatasets = [\"list\"]\n";
    // in front of the other, so that its place in the snapshot is another
    let at = config.find("[[zone]]").unwrap();
    fs::write(site.config(), format!("{}{first}{}", &config[..at], &config[at..])).unwrap();
    server.signal("HUP");
    server.wait_for("configuration taken over");
    server.ask("1.2.0.192.bl.example", A);
    server.ask("1.2.0.192.first.example", A);
    let samples = Samples::read(&scrape(&address));
    let of = |zone| samples.sum("infamy_queries_total", &[("zone", zone)]);
    assert_eq!((of("bl.example"), of("first.example")), (2.0, 1.0));
    fs::write(site.config(), config.replace("[\"list\"]", "[\"lost\"]")).unwrap();
    server.signal("HUP");
    server.wait_for("dataset lost: is not defined");
    until("the refusal is counted", || {
        Samples::read(&scrape(&address)).sum("infamy_configuration_failures_total", &[]) == 1.0
    });
    assert!(server.end().success());
}

#[test]
fn a_list_that_fails_shows_and_goes() {
    let site = site("");
    let (server, address) = start(&site);
    fs::remove_file(site.list()).unwrap();
    server.signal("HUP");
    server.wait_for("dataset not loaded, the last good one stays");
    let failing = |count: f64, now: f64| {
        until("the failure shows", || {
            let samples = Samples::read(&scrape(&address));
            let of = |name| samples.sum(name, &[("feed", "list")]);
            of("infamy_feed_load_failures_total") >= count && of("infamy_feed_failing") == now
        });
    };
    failing(1.0, 1.0);
    fs::write(site.list(), "192.0.2.2\n192.0.2.4\n").unwrap();
    server.signal("HUP");
    server.wait_for("dataset loaded name=list");
    failing(1.0, 0.0);
    assert_eq!(Samples::read(&scrape(&address)).sum("infamy_feed_entries", &[]), 2.0);
    assert!(server.end().success());
}

#[test]
fn a_list_that_is_fetched_again_is_fresh_and_not_changed() {
    let site = site("");
    let write = |text: &str, age: u64| {
        fs::write(site.list(), text).unwrap();
        let list = fs::File::options().append(true).open(site.list()).unwrap();
        list.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    };
    write("192.0.2.1\n", 90_000);
    let (server, address) = start(&site);
    let ages = || {
        let samples = Samples::read(&scrape(&address));
        let of = |name| now() - samples.sum(name, &[("feed", "list")]);
        [of("infamy_feed_last_success_timestamp_seconds"), of("infamy_feed_last_change_timestamp_seconds")]
    };
    let [fetched, changed] = ages();
    assert!((90_000.0..90_060.0).contains(&fetched) && (0.0..60.0).contains(&changed), "{fetched} {changed}");
    let changed = || ages()[1] - now();
    let before = changed();
    for (text, age) in [("192.0.2.1\n", 7200), ("# a comment\n192.0.2.1\n", 3600)] {
        write(text, age);
        site.done(&["reload"]);
        let [fetched, _] = ages();
        assert!((0.0..60.0).contains(&(fetched - age as f64)), "{fetched}");
    }
    for text in ["junk that is no list\n", ""] {
        write(text, 0);
        assert_eq!(site.run(&["reload"]).status.code(), Some(2), "{text:?}");
        assert!(ages()[0] > 3600.0, "what failed is no success");
    }
    fs::remove_file(site.list()).unwrap();
    assert_eq!(site.run(&["reload"]).status.code(), Some(2));
    write("192.0.2.1\n", 60);
    site.done(&["reload"]);
    assert!((60.0..120.0).contains(&ages()[0]), "it is there again");
    assert!((changed() - before).abs() < 5.0, "and said the same all the while");
    // nothing is fetched in the future
    let list = fs::File::options().append(true).open(site.list()).unwrap();
    list.set_modified(std::time::SystemTime::now() + Duration::from_secs(90_000)).unwrap();
    site.done(&["reload"]);
    assert!(ages()[0] > -1.0);
    assert!(server.end().success());
}

#[test]
fn a_certificate_that_cannot_be_renewed_shows_and_goes() {
    let site = site("");
    let path = |name: &str| site.0.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let write = |year| {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        fs::write(path("chain.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    };
    write(2020);
    let tls = "[listen.tls]\naddresses = [\"127.0.0.1:0\"]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n";
    let config = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), config + tls).unwrap();
    let (server, address) = start(&site);
    let of = |name: &str| Samples::read(&scrape(&address)).sum(name, &[("door", "tls")]);
    let failures = || of("infamy_certificate_failures_total");
    assert_eq!((failures(), of("infamy_certificate_expiry_timestamp_seconds")), (0.0, 1_577_836_800.0));

    fs::write(path("key.pem"), "junk").unwrap();
    fs::write(site.list(), "192.0.2.1\n192.0.2.2\n").unwrap();
    let output = site.run(&["reload"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("error: certificate tls: ") && told.contains("key.pem: "), "{told}");
    server.wait_for("certificate not loaded, the one before stays");
    server.wait_for("the certificate EXPIRED 2020-01-01T00:00:00Z");
    assert_eq!(server.ask("2.2.0.192.bl.example", A).answers.len(), 1, "all else was reloaded");
    assert!(
        site.done(&["status"]).contains("\ncertificate tls: EXPIRED 2020-01-01T00:00:00Z, not read again 1 time, ")
    );
    assert_eq!(failures(), 1.0);

    write(2100);
    site.done(&["reload"]);
    assert!(site.done(&["status"]).contains("\ncertificate tls: expires 2100-01-01T00:00:00Z\n"));
    assert_eq!((failures(), of("infamy_certificate_expiry_timestamp_seconds")), (1.0, 4_102_444_800.0));
    assert!(server.end().success());
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_query_log_has_every_reply_and_goes_on_in_a_new_file() {
    let site = site("[query-log]\nfile = \"queries.log\"\n[dnstap]\nsocket = \"nobody.sock\"\n");
    let (server, address) = start(&site);
    let (path, moved) = (site.0.path().join("queries.log"), site.0.path().join("moved"));
    server.ask("1.2.0.192.bl.example", A);
    server.ask_tcp("www.elsewhere.example", TXT);
    fs::rename(&path, &moved).unwrap();
    server.signal("HUP");
    until("the file is there anew", || path.exists());
    server.ask("2.2.0.192.bl.example", A);
    // a collector that is not there holds up nothing
    let samples = Samples::read(&scrape(&address));
    assert_eq!(samples.sum("infamy_log_lost_total", &[("log", "query-log")]), 0.0);
    until("dnstap's messages are counted as lost", || {
        Samples::read(&scrape(&address)).sum("infamy_log_lost_total", &[("log", "dnstap")]) == 6.0
    });
    assert!(server.end().success());
    let read = |path| -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (first, then) = (read(&moved), read(&path));
    let told = |line: &serde_json::Value| {
        ["transport", "zone", "name", "type", "rcode", "result"].map(|key| line[key].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(
        first.iter().map(told).collect::<Vec<_>>(),
        [
            ["udp", "bl.example", "1.2.0.192.bl.example", "A", "NOERROR", "listed"],
            ["tcp", "-", "www.elsewhere.example", "TXT", "REFUSED", "refused"],
        ]
    );
    assert_eq!(
        then.iter().map(told).collect::<Vec<_>>(),
        [["udp", "bl.example", "2.2.0.192.bl.example", "A", "NXDOMAIN", "unlisted"]]
    );
    assert_eq!(then[0]["client"], "127.0.0.1");
}

#[test]
fn a_log_that_cannot_be_written_ends_the_start() {
    let site = site("[query-log]\nfile = \"missing/queries.log\"\n");
    let output = Command::new(PROGRAM).arg("serve").arg(site.config()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.lines().last().unwrap().starts_with("error: [query-log] file: "), "{told}");
}

#[test]
fn top_is_plain_text_where_nobody_looks() {
    let site = site("");
    let (server, _) = start(&site);
    server.ask("2.2.0.192.bl.example", A);
    let config = site.config();
    let top = thread::spawn(move || {
        Command::new(PROGRAM).args(["top", "--count", "2", "--config"]).arg(config).output().unwrap()
    });
    while !top.is_finished() {
        server.ask("1.2.0.192.bl.example", A);
        thread::sleep(Duration::from_millis(20));
    }
    let output = top.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    assert_eq!(text.matches(" queries/s, 100.0 % listed\n").count(), 2, "{text}");
    let row = text.lines().find(|line| line.starts_with("bl.example ")).unwrap();
    let columns: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((columns[1], columns[3]), (columns[2], "0"), "{row}");
    assert!(text.contains("\nlist "), "{text}");
    assert!(server.end().success());
}

#[test]
fn top_leaves_the_terminal_as_it_was() {
    let site = site("");
    let (server, _) = start(&site);
    let config = site.config();
    // a shell on a terminal of its own, which says how the terminal is afterwards
    let command = format!("stty -a; {PROGRAM} top --config {}; echo code=$?; stty -a", config.display());
    for (key, signal) in [(&b"q"[..], None), (b"\x03", None), (b"", Some("TERM"))] {
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let mut keys = child.stdin.take().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut told = String::new();
        // a picture is there, and with it the keys are ours
        while !told.contains("queries/s") {
            let mut buffer = [0; 4096];
            let length = out.read(&mut buffer).unwrap();
            assert!(length > 0, "{told}");
            told += &String::from_utf8_lossy(&buffer[..length]);
        }
        keys.write_all(key).unwrap();
        if let Some(signal) = signal {
            let top = format!("{PROGRAM} top --config {}", config.display());
            let found = Command::new("pgrep").args(["-x", "-f", &top]).output().unwrap();
            let id = String::from_utf8(found.stdout).unwrap().trim().to_owned();
            assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success(), "{id:?}");
        }
        out.read_to_string(&mut told).unwrap();
        child.wait().unwrap();
        let (before, rest) = told.split_once("\x1b[?1049h").unwrap();
        let (_, after) = rest.split_once("\x1b[?25h\x1b[?1049l").unwrap_or_else(|| panic!("{told:?}"));
        let after = after.strip_prefix("code=0\r\n").unwrap_or_else(|| panic!("{after:?}"));
        assert_eq!(after, before, "{key:?} {signal:?}");
    }
    assert!(server.end().success());
}
