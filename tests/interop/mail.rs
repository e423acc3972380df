//! Postfix as a client: it rejects who is listed, and quotes the reason from the TXT record.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::{Program, free_address};
use crate::lab::{self, Infamy};
use crate::resolvers::{ZONE, start_unbound};

#[test]
#[ignore = "needs postfix, unbound, and root for port 53 and a mount namespace"]
fn postfix_rejects_a_listed_client_and_says_why() {
    assert!(lab::is_root(), "run this test as root");
    let folder = lab::folder();
    let list = folder.path().join("list");
    fs::write(&list, "127.0.0.66 :2:$ sent mail to a trap\n127.0.0.67 :9:of another kind\n").unwrap();
    let server = free_address();
    let _infamy = Infamy::serve(server, ZONE, &[format!("ip4set:{}", list.display())], folder.path());
    // a resolver in resolv.conf has no port of its own
    let resolver: SocketAddr = "127.0.0.154:53".parse().unwrap();
    let _unbound = start_unbound(resolver, server, folder.path());
    let postfix = Postfix::start(folder.path(), resolver);

    let listed = postfix.deliver(postfix.smtpd, [127, 0, 0, 66]);
    let reason = format!("blocked using {ZONE}; 127.0.0.66 sent mail to a trap");
    assert!(listed.starts_with("554 5.7.1") && listed.ends_with(&reason), "{listed}");
    let other_value = postfix.deliver(postfix.smtpd, [127, 0, 0, 67]);
    assert!(other_value.starts_with("250 "), "{other_value}");
    let unlisted = postfix.deliver(postfix.smtpd, [127, 0, 0, 68]);
    assert!(unlisted.starts_with("250 "), "{unlisted}");

    let listed = postfix.deliver(postfix.postscreen, [127, 0, 0, 66]);
    assert!(listed.starts_with("550 5.7.1") && listed.contains(&format!("blocked using {ZONE}")), "{listed}");
    let unlisted = postfix.deliver(postfix.postscreen, [127, 0, 0, 68]);
    assert!(unlisted.starts_with("250 "), "{unlisted}");
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
    /// Starts Postfix in a mount namespace in which `resolver` is in resolv.conf.
    fn start(folder: &Path, resolver: SocketAddr) -> Self {
        let (smtpd, postscreen) = lab::two_free_addresses();
        let config = folder.join("postfix");
        for folder in [&config, &folder.join("spool"), &folder.join("data")] {
            fs::create_dir(folder).unwrap();
        }
        let folder_text = folder.display();
        run(Command::new("chown").arg("postfix").arg(folder.join("data")));
        fs::write(config.join("main.cf"), MAIN.replace("FOLDER", &folder_text.to_string())).unwrap();
        let master = MASTER.replace("SMTPD", &smtpd.to_string()).replace("POSTSCREEN", &postscreen.to_string());
        fs::write(config.join("master.cf"), master).unwrap();
        let resolv_conf = folder.join("resolv.conf");
        fs::write(&resolv_conf, format!("nameserver {}\n", resolver.ip())).unwrap();
        let script = format!(
            "mount --bind {} /etc/resolv.conf && exec /usr/sbin/postfix -c {} start-fg",
            resolv_conf.display(),
            config.display()
        );
        let log = folder.join("postfix.log");
        let mut program = Program::start(Command::new("unshare").args(["-m", "sh", "-c", &script]), &log);
        // its sockets are open before it says so; connecting to a port that nobody has could connect it to itself
        program.wait_until(&log, || fs::read_to_string(&log).is_ok_and(|log| log.contains("daemon started")));
        Self { smtpd, postscreen, log, pid_file: folder.join("spool/pid/master.pid"), _program: program }
    }

    /// Offers a mail from a client address; what RCPT gets.
    fn deliver(&self, server: SocketAddr, client: [u8; 4]) -> String {
        self.converse(server, client).unwrap_or_else(|error| {
            panic!("{error}; the log:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        })
    }

    fn converse(&self, server: SocketAddr, client: [u8; 4]) -> std::io::Result<String> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::from(client), 0)).into())?;
        socket.connect(&server.into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        reply(&mut reader)?;
        let commands = ["EHLO client.lab.example", "MAIL FROM:<>", "RCPT TO:<somebody@mail.lab.example>"];
        let mut last = String::new();
        for command in commands {
            writer.write_all(format!("{command}\r\n").as_bytes())?;
            last = reply(&mut reader)?;
        }
        writer.write_all(b"QUIT\r\n")?;
        Ok(last)
    }
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
mynetworks = 192.0.2.0/24
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
local_recipient_maps =
alias_maps =
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_rbl_client bl.lab.example=127.0.0.2
postscreen_dnsbl_sites = bl.lab.example=127.0.0.[2..3]*3
postscreen_dnsbl_threshold = 3
postscreen_dnsbl_action = enforce
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
