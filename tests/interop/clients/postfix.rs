//! Postfix: smtpd rejects who is listed and quotes the reason from the TXT record, postscreen weighs lists.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::{Lists, with_resolver};
use crate::harness::Program;
use crate::lab;
use crate::snippet::snippet;

#[test]
#[ignore = "needs postfix, and root for port 53 and a mount namespace"]
fn smtpd_rejects_the_listed_and_says_why() {
    let lists = Lists::serve();
    let postfix = Postfix::start(&lists);
    let good = Mail::default();
    let because = |what: &str| format!("554 5.7.1 Service unavailable; {what}");
    let rejected = [
        (
            Mail { client: "192.0.2.2", ..good },
            because("Client host [192.0.2.2] blocked using bl.example; Trap hit, see https://bl.example/q/192.0.2.2"),
        ),
        (
            Mail { client: "192.0.2.11", ..good },
            because("Client host [192.0.2.11] blocked using bl.example; Dynamic range"),
        ),
        (
            Mail { client: "IPV6:2001:db8:bad::25", ..good },
            because(
                "Client host [2001:db8:bad::25] blocked using bl.example; \
                 Trap hit, see https://bl.example/q/2001:db8:bad::25",
            ),
        ),
        (
            Mail { helo: "mail.spam-example.org", ..good },
            because(
                "Helo command [mail.spam-example.org] blocked using dbl.example; \
                 Spam domain, see https://dbl.example/q/spam-example.org",
            ),
        ),
        (
            Mail { sender: "somebody@phishing-example.org", ..good },
            because("Sender address [somebody@phishing-example.org] blocked using dbl.example; Phishing"),
        ),
        (
            Mail { reverse: "mail.spam-example.org", ..good },
            because(
                "Unverified Client host [mail.spam-example.org] blocked using dbl.example; \
                 Spam domain, see https://dbl.example/q/spam-example.org",
            ),
        ),
    ];
    for (mail, expected) in rejected {
        let reply = postfix.smtpd(mail);
        lists.tell(&format!("smtpd, listed, {mail:?}"), &reply);
        assert_eq!(reply, expected, "{mail:?}");
    }
    let accepted = [
        ("unlisted", good),
        ("listed with a value that the filter leaves out", Mail { client: "127.0.0.67", ..good }),
        ("listed, and known to be good", Mail { client: "192.0.2.30", ..good }),
    ];
    for (what, mail) in accepted {
        let reply = postfix.smtpd(mail);
        let asked = lists.tell(&format!("smtpd, {what}, {mail:?}"), &reply);
        assert!(reply.starts_with("250 "), "{mail:?}: {reply}");
        assert!(asked.len() <= 6, "{asked:?}");
    }
}

#[test]
#[ignore = "needs postfix, and root for port 53 and a mount namespace"]
fn postscreen_weighs_lists() {
    let lists = Lists::serve();
    let postfix = Postfix::start(&lists);
    let cases = [
        ("listed", [127, 0, 0, 66], "550 5.7.1 Service unavailable; client [127.0.0.66] blocked using bl.example"),
        ("unlisted", [127, 0, 0, 68], "250 "),
        ("listed with a value that the filters leave out", [127, 0, 0, 67], "250 "),
        ("listed, and known to be good", [127, 0, 0, 70], "250 "),
    ];
    for (what, client, expected) in cases {
        let reply = postfix.postscreen(client);
        let mut asked = lists.tell(&format!("postscreen, {what}, {client:?}"), &reply);
        assert!(reply.starts_with(expected), "{reply}");
        // who passes is asked about again by smtpd; postscreen itself asks each zone once
        asked.dedup();
        assert!(asked.iter().filter(|question| question.ends_with(".bl.example")).count() <= 3, "{asked:?}");
    }
}

/// What a mail's envelope says.
#[derive(Clone, Copy, Debug)]
struct Mail {
    /// The client's address as XCLIENT has it.
    client: &'static str,
    /// Its name in the reverse zone.
    reverse: &'static str,
    helo: &'static str,
    sender: &'static str,
}

impl Default for Mail {
    /// Nothing of it is listed.
    fn default() -> Self {
        Self {
            client: "192.0.2.77",
            reverse: "mail.example.net",
            helo: "mail.example.net",
            sender: "somebody@example.net",
        }
    }
}

/// A Postfix with a queue and a configuration of its own.
struct Postfix {
    smtpd: SocketAddr,
    postscreen: SocketAddr,
    log: PathBuf,
    pid_file: PathBuf,
    _program: Program,
}

impl Postfix {
    /// Starts Postfix with what is printed, in a mount namespace in which the relay is in resolv.conf.
    fn start(lists: &Lists) -> Self {
        let (smtpd, postscreen) = lab::two_free_addresses();
        let folder = lists.path();
        let config = folder.join("postfix");
        for folder in [&config, &folder.join("spool"), &folder.join("data")] {
            fs::create_dir(folder).unwrap();
        }
        run(Command::new("chown").arg("postfix").arg(folder.join("data")));
        let printed = ["postfix-smtpd", "postfix-postscreen"].map(|name| snippet("clients.md", name)).concat();
        let main = MAIN.replace("FOLDER", &folder.display().to_string()) + &printed;
        fs::write(config.join("main.cf"), main).unwrap();
        let master = MASTER.replace("SMTPD", &smtpd.to_string()).replace("POSTSCREEN", &postscreen.to_string());
        fs::write(config.join("master.cf"), master).unwrap();
        let log = folder.join("postfix.log");
        let mut command = with_resolver(lists.relay.address(), folder);
        let mut program = Program::start(command.args(["/usr/sbin/postfix", "-c"]).arg(&config).arg("start-fg"), &log);
        // its sockets are open before it says so; connecting to a port that nobody has could connect it to itself
        program.wait_until(&log, || fs::read_to_string(&log).is_ok_and(|log| log.contains("daemon started")));
        Self { smtpd, postscreen, log, pid_file: folder.join("spool/pid/master.pid"), _program: program }
    }

    /// Offers a mail to smtpd as if it came from its client; what RCPT gets.
    fn smtpd(&self, mail: Mail) -> String {
        let Mail { client, reverse, helo, sender } = mail;
        self.offer(
            self.smtpd,
            Ipv4Addr::LOCALHOST,
            &[
                format!("EHLO {helo}"),
                format!("XCLIENT ADDR={client} NAME={reverse} REVERSE_NAME={reverse}"),
                format!("EHLO {helo}"),
                format!("MAIL FROM:<{sender}>"),
                "RCPT TO:<somebody@mail.lab.example>".to_owned(),
            ],
        )
    }

    /// Offers a mail to postscreen from a client address; what RCPT gets.
    fn postscreen(&self, client: [u8; 4]) -> String {
        let commands = ["EHLO mail.example.net", "MAIL FROM:<>", "RCPT TO:<somebody@mail.lab.example>"];
        self.offer(self.postscreen, client.into(), &commands.map(str::to_owned))
    }

    fn offer(&self, server: SocketAddr, client: Ipv4Addr, commands: &[String]) -> String {
        converse(server, client, commands).unwrap_or_else(|error| {
            panic!("{error}; the log:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        })
    }
}

/// Says the commands; the reply to the last one.
fn converse(server: SocketAddr, client: Ipv4Addr, commands: &[String]) -> std::io::Result<String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((client, 0)).into())?;
    socket.connect(&server.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    reply(&mut reader)?;
    let mut last = String::new();
    for command in commands {
        writer.write_all(format!("{command}\r\n").as_bytes())?;
        last = reply(&mut reader)?;
    }
    writer.write_all(b"QUIT\r\n")?;
    Ok(last)
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // its master is no child of ours; without it the other processes end too
        if let Ok(pid) = fs::read_to_string(&self.pid_file) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }
}

/// The last line of a reply.
fn reply(reader: &mut impl BufRead) -> std::io::Result<String> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line);
        }
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// How long a reply may take: postscreen waits before it greets.
const PATIENCE: Duration = Duration::from_secs(30);

const MAIN: &str = "compatibility_level = 3.6
queue_directory = FOLDER/spool
data_directory = FOLDER/data
maillog_file = /dev/stdout
myhostname = mail.lab.example
mydestination = mail.lab.example
mynetworks = 203.0.113.0/24
inet_interfaces = 127.0.0.1
inet_protocols = all
local_recipient_maps =
alias_maps =
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.0/8
postscreen_greet_wait = 2s
smtpd_client_connection_count_limit = 0
";

const MASTER: &str = "SMTPD inet n - n - - smtpd
POSTSCREEN inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
local unix - n n - - local
error unix - - n - - error
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";
