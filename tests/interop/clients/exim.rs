//! Exim: `dnslists` with all its operators. `exim -bh` plays an SMTP session as if it came from any address.
//!
//! Debian's package conflicts with Postfix's, so it is unpacked into `target/exim4` and not installed; `.ci/run` does.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Lists, with_etc};
use crate::snippet::snippet;

#[test]
#[ignore = "needs exim4-daemon-light and libidn12 unpacked in target/exim4, and root for port 53 and a mount namespace"]
fn exim_rejects_the_listed_and_says_why() {
    let lists = Lists::serve();
    let exim = Exim::new(&lists, &snippet("clients.md", "exim-rcpt"));
    let good = Mail { client: "192.0.2.77", helo: "mail.example.net", sender: "somebody@example.net" };
    let rejected = [
        (
            Mail { client: "192.0.2.2", ..good },
            "550 192.0.2.2 is listed in bl.example: Trap hit, see https://bl.example/q/192.0.2.2",
        ),
        (
            Mail { client: "2001:db8:bad::25", ..good },
            "550 2001:0db8:0bad:0000:0000:0000:0000:0025 is listed in bl.example: Trap hit, see https://bl.example/q/2001:db8:bad::25",
        ),
        (
            Mail { sender: "somebody@mail.spam-example.org", ..good },
            "550 mail.spam-example.org is listed in dbl.example: \
             Spam domain, see https://dbl.example/q/spam-example.org",
        ),
        (Mail { helo: "phishing-example.org", ..good }, "550 phishing-example.org is listed in dbl.example: Phishing"),
    ];
    for (mail, expected) in rejected {
        let Session { reply, .. } = exim.offer(mail);
        lists.tell(&format!("exim, listed, {mail:?}"), &reply);
        assert_eq!(reply, expected, "{mail:?}");
    }
    let accepted = [
        ("unlisted", good),
        ("listed with another value", Mail { client: "127.0.0.67", ..good }),
        ("listed, and known to be good", Mail { client: "192.0.2.30", ..good }),
        ("scored", Mail { client: "192.0.2.40", ..good }),
    ];
    for (what, mail) in accepted {
        let Session { reply, log } = exim.offer(mail);
        lists.tell(&format!("exim, {what}, {mail:?}"), &reply);
        assert!(reply.starts_with("250 "), "{reply}");
        assert_eq!(log.contains("X-Reputation: 127.0.3.60"), what == "scored", "{log}");
    }
}

#[test]
#[ignore = "needs exim4-daemon-light and libidn12 unpacked in target/exim4, and root for port 53 and a mount namespace"]
fn every_operator_of_dnslists_decides_as_documented() {
    let lists = Lists::serve();
    // clients by their records: none, 2, 11, 2 and 10
    let clients = ["192.0.2.77", "192.0.2.2", "192.0.2.11", "192.0.2.10"];
    // what each of the printed conditions says of them: `-` false, `+` true, `?` not to be told
    let expected = [
        "-+++", "-+++", "-++-", "--+-", "--++", "--++", "--+-", "-+--", "-+-+", "--++", "-+--", "++++", "++++", "????",
    ];
    let conditions = snippet("clients.md", "exim-operators");
    assert_eq!(conditions.lines().count(), expected.len());
    for (condition, expected) in conditions.lines().zip(expected) {
        let exim = Exim::new(&lists, &format!("  deny dnslists = {condition}\n       message = $dnslist_text\n"));
        let mut said = String::new();
        for client in clients {
            let mail = Mail { client, helo: "mail.example.net", sender: "somebody@spam-example.org" };
            let Session { reply, .. } = exim.offer(mail);
            lists.tell(&format!("exim, {condition}, {client}"), &reply);
            said.push(match &reply[..3] {
                "250" => '-',
                "550" => '+',
                "451" => '?',
                _ => panic!("{condition}, {client}: {reply}"),
            });
        }
        assert_eq!(said, expected, "{condition}");
    }
}

/// What a mail's envelope says.
#[derive(Clone, Copy, Debug)]
struct Mail {
    client: &'static str,
    helo: &'static str,
    sender: &'static str,
}

/// What RCPT got, the lines of the reply joined; and what Exim told of the session.
struct Session {
    reply: String,
    log: String,
}

/// An Exim with a configuration of its own.
struct Exim<'l> {
    lists: &'l Lists,
    root: PathBuf,
    config: PathBuf,
}

impl<'l> Exim<'l> {
    /// With what its ACL for recipients says before it accepts.
    fn new(lists: &'l Lists, acl: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/exim4");
        assert!(root.join("usr/sbin/exim4").exists(), "{}: no Exim; `.ci/run` unpacks it there", root.display());
        let config = lists.path().join("exim.conf");
        let text = CONFIG.replace("FOLDER", &lists.path().display().to_string()).replace("ACL\n", acl);
        fs::write(&config, text).unwrap();
        Self { lists, root, config }
    }

    fn offer(&self, mail: Mail) -> Session {
        // the user that Debian's Exim wants to be, which only its package makes
        let [passwd, group] = ["passwd", "group"].map(|name| fs::read_to_string(format!("/etc/{name}")).unwrap());
        let files = [
            ("resolv.conf", format!("nameserver {}\n", self.lists.relay.address().ip())),
            ("passwd", format!("{passwd}Debian-exim:x:65001:65001::/nonexistent:/bin/false\n")),
            ("group", format!("{group}Debian-exim:x:65001:\n")),
        ];
        let mut command = with_etc(&files, self.lists.path());
        command.arg("env").arg(format!("LD_LIBRARY_PATH={}", self.libraries().display()));
        command.arg(self.root.join("usr/sbin/exim4")).arg("-C").arg(&self.config).args(["-bh", mail.client]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let Mail { helo, sender, .. } = mail;
        let session = format!("EHLO {helo}\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<somebody@mail.lab.example>\r\nQUIT\r\n");
        child.stdin.take().unwrap().write_all(session.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (said, log) = (text(&output.stdout), text(&output.stderr));
        Session { reply: last_but_one(&said).unwrap_or_else(|| panic!("{said}{log}")), log }
    }

    /// The folder of the libraries that only Exim needs, which is named after the machine.
    fn libraries(&self) -> PathBuf {
        let mut folders = fs::read_dir(self.root.join("usr/lib")).unwrap().map(|folder| folder.unwrap().path());
        folders.find(|folder| folder.join("libidn.so.12").exists()).expect("libidn12 is unpacked beside Exim")
    }
}

/// The reply before that to QUIT, in one line.
fn last_but_one(said: &str) -> Option<String> {
    let mut replies: Vec<String> = vec![String::new()];
    for line in said.lines().filter(|line| line.len() > 3) {
        let last = replies.last_mut()?;
        if last.is_empty() {
            last.push_str(&line[..3]);
        }
        *last += " ";
        *last += &line[4..];
        if line.as_bytes()[3] == b' ' {
            replies.push(String::new());
        }
    }
    replies.into_iter().rev().filter(|reply| !reply.is_empty()).nth(1)
}

const CONFIG: &str = "spool_directory = FOLDER/spool
log_file_path = FOLDER/exim_%slog
primary_hostname = mail.lab.example
domainlist local_domains = mail.lab.example
keep_environment =
tls_advertise_hosts =
acl_smtp_rcpt = rcpt
begin acl
rcpt:
ACL
  accept
begin routers
begin transports
";
