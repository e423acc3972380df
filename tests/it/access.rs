//! Keys and secrets of a running server: exchanged while it serves, and told to nobody.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use hickory_proto::op::ResponseCode;
use infamy::answer::{DropReason, Outcome};
use infamy::feed::Format;
use infamy::query_log::{Dnstap, DnstapSpec, Sample, Shown};
use infamy::server::{Carrier, Exchange};

use crate::serve::{PATIENCE, PROGRAM, Server, Site};
use crate::wire::{Message, Opt, Query, TYPE_SOA};
use crate::world::{NOW, World};

#[test]
fn keys_are_exchanged_as_lists_are_and_no_log_or_state_has_one() {
    let site = Site::new();
    let put = |text: &str| put(site.0.path(), "customers", text, 0o640);
    put("acme 0123456789abcdefghij 1000/d\n");
    site.write_config(&format!("{KEYED}[query-log]\nfile = \"state/queries.log\"\n"));
    let server = site.start();
    let asked = |key: &str| server.rcode(&format!("1.2.0.192.{key}.keyed.example"));
    // where it is no key, and where there is no zone
    for name in ["x.0123456789abcdefghij._email.keyed.example", "1.0123456789abcdefghij.nosuch.example"] {
        assert_eq!(server.rcode(name), ResponseCode::Refused);
    }
    assert_eq!(asked("0123456789abcdefghij"), ResponseCode::NoError);
    assert_eq!(asked("9876543210abcdefghij"), ResponseCode::Refused);
    // what is refused before any zone is looked at has a key in its name all the same
    let plain =
        Query { edns: Some(Opt::of_size(1232)), ..Query::new("1.0123456789abcdefghij.keyed.example", TYPE_SOA) };
    let [opcode, class, version] = [(2, 4 << 3), (plain.bytes().len() - 12, 3), (plain.bytes().len() - 5, 1)];
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for (at, byte) in [opcode, class, version] {
        let mut query = plain.bytes();
        query[at] = byte;
        client.send_to(&query, server.address).unwrap();
        let reply = &mut [0; 512];
        client.recv(reply).unwrap();
        assert_eq!(reply[6..8], [0, 0], "{at}: no answer");
    }

    put(
        "acme 0123456789abcdefghij\nbolt 9876543210abcdefghij\ncord 9876543210abcdefghij\nwrong abcdefghij9876543210 5/h\n",
    );
    server.signal("HUP");
    let mut lines = server.lines_until("reloaded took=");
    assert_eq!(asked("9876543210abcdefghij"), ResponseCode::NoError);

    put("bolt 9876543210abcdefghij\n");
    server.signal("HUP");
    lines.extend(server.lines_until("reloaded took="));
    assert_eq!(asked("0123456789abcdefghij"), ResponseCode::Refused);

    fs::set_permissions(site.0.path().join("customers"), Permissions::from_mode(0o644)).unwrap();
    server.signal("HUP");
    lines.extend(server.lines_until("no news"));
    assert!(lines.iter().any(|line| line.contains("mode 644 lets others in")), "{lines:#?}");
    assert_eq!(asked("9876543210abcdefghij"), ResponseCode::NoError, "the last good ones stay");

    let told = lines.join("\n");
    assert!(told.contains("the key of cord is left out: it is already that of bolt") || told.contains("problems=2"));
    assert!(!told.contains("abcdefghij"), "{told}");
    assert!(server.end().success());
    let state = site.0.path().join("state");
    assert!(!files_below(&state).iter().any(|bytes| bytes.windows(10).any(|part| part == b"abcdefghij")));
    let log = fs::read_to_string(state.join("queries.log")).unwrap();
    for shown in ["\"1.2.0.192.[acme].keyed.example\"", "\"1.2.0.192.[?].keyed.example\""] {
        assert!(log.contains(shown), "{log}");
    }
    for shown in ["\"x.[acme]._email.keyed.example\"", "\"1.[acme].nosuch.example\""] {
        assert!(log.contains(shown), "{log}");
    }
    assert_eq!(log.matches("\"1.[acme].keyed.example\"").count(), 3, "{log}");
}

#[test]
fn the_doctor_examines_a_zone_with_the_key_that_it_is_given() {
    let site = Site::new();
    put(site.0.path(), "customers", "acme 0123456789abcdefghij\n", 0o640);
    site.write_config(KEYED);
    let server = site.start();
    let file = site.0.path().join("key");
    let doctor = |in_file: &str, in_environment: &str| {
        let mut doctor = Command::new(PROGRAM);
        let [resolver, at] = ["resolver", "server"].map(|option| format!("--{option}={}", server.address));
        doctor.args(["doctor", &resolver, &at, "keyed.example"]).env("INFAMY_KEY", in_environment);
        if !in_file.is_empty() {
            fs::write(&file, in_file).unwrap();
            doctor.arg("--key-file").arg(&file);
        }
        let output = doctor.output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!told.to_lowercase().contains("abcdefghij"), "{told}");
        (output.status.code(), told)
    };
    for (in_file, in_environment) in [("0123456789abcdefghij\n", ""), ("", "0123456789ABCDEFGHIJ")] {
        let (code, told) = doctor(in_file, in_environment);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("ok       A 2.0.0.127.[key].keyed.example: 127.0.0.2\n"), "{told}");
    }
    // the file goes before the environment
    let (code, told) = doctor("9876543210abcdefghij", "0123456789abcdefghij");
    assert!(code == Some(1) && told.contains("trouble  A 2.0.0.127.[key].keyed.example: REFUSED\n"), "{told}");
    let (code, told) = doctor("", "");
    assert!(code == Some(1) && told.contains("wants a key (--key-file)"), "{told}");
    let (code, told) = doctor("acme 0123456789abcdefghij", "");
    assert!(code == Some(2) && told.contains("key: is no key; write one alone"), "{told}");
    assert!(server.end().success());
}

#[test]
fn secrets_are_read_again_on_a_signal_and_roll_over() {
    const OLD: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const NEW: &str = "445536bcd2513298075a5d379663c962";
    let site = Site::new();
    let put = |text: &str| put(site.0.path(), "secret", text, 0o600);
    put(OLD);
    site.write_config("[cookies]\nsecrets = \"secret\"\n");
    let server = site.start();
    let old = cookie(&server, &[1; 8]);
    put(&format!("{NEW}\n{OLD}\n"));
    server.signal("HUP");
    server.wait_for("configuration taken over");
    let new = cookie(&server, &old);
    assert_ne!(new[16..], old[16..], "good, and given anew with the secret in use");
    assert_eq!(cookie(&server, &new), new);

    put("no secret\n");
    server.signal("HUP");
    let told = server.wait_for("configuration not taken over");
    assert!(told.contains("line 1 is no secret") && !told.contains("no secret\n"), "{told}");
    assert_eq!(cookie(&server, &new), new, "what was served stays");
    assert!(server.end().success());
}

#[test]
fn check_tells_what_keeps_a_server_from_starting_and_what_is_rarely_meant() {
    let site = Site::new();
    put(site.0.path(), "customers", "acme 0123456789abcdefghij\n", 0o600);
    put(site.0.path(), "clients", "0.0.0.0/0 :refuse\n127.0.0.1 :pass\n", 0o644);
    put(site.0.path(), "secret", "no secret\n", 0o600);
    nix::unistd::mkfifo(&site.0.path().join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let check = |more: &str| {
        site.write_config(more);
        let output = Command::new(PROGRAM).arg("check").arg(site.config()).output().unwrap();
        let [told, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code(), told, errors)
    };
    let acl = "access = \"clients\"\nquota = \"5/s\"\n\
               [[dataset]]\nname = \"clients\"\nformat = \"acl\"\nfiles = \"clients\"\n";
    let (code, told, errors) = check(&format!("{KEYED}{acl}"));
    assert_eq!((code, &*errors), (Some(0), ""), "{told}");
    for warning in
        ["keys: no key opens it, and none is asked for: clients names", "quota: holds for nobody: clients names"]
    {
        assert!(told.contains(&format!("zone keyed.example: {warning} every IPv4 address")), "{told}");
    }
    put(site.0.path(), "clients", "10.0.0.0/8 :refuse\n127.0.0.1 :pass\n", 0o644);
    let (_, told, _) = check(&format!("{KEYED}{acl}"));
    assert!(!told.contains("every IPv4 address"), "{told}");

    let pipe = KEYED.replace("files = \"customers\"", "files = \"pipe\"");
    for (more, error) in [
        ("[control]\naddresses = [\"127.0.0.1:0\"]\ntokens = \"secret\"\n", "infamy.toml:22: control: tokens: "),
        ("[cookies]\nsecrets = \"secret\"\n", "infamy.toml:21: cookies: secrets: "),
        (&*pipe, "dataset customers: "),
        (&*pipe, "pipe: is a folder, pipe or device: write it to a file"),
    ] {
        let (code, _, errors) = check(more);
        assert!(code == Some(2) && errors.contains(error), "{more}{errors}");
    }
    put(site.0.path(), "customers", "acme short\n", 0o600);
    let (code, _, errors) = check(KEYED);
    let error = "customers:1: a key of 5 characters: 16 are the fewest; make one with `openssl rand -hex 16`; \
                 without wrong lines there are 0 entries, at least 1 expected";
    assert!(code == Some(2) && errors.contains(error), "{errors}");
}

#[test]
fn a_name_is_shown_without_keys_wherever_they_stand() {
    let mut world = World::new();
    let list = world.dataset("list", Format::Ip4Set, "192.0.2.1\n");
    let keys = world.dataset("customers", Format::Keys, "acme 0123456789abcdefghij\n");
    let others = world.dataset("others", Format::Keys, "bolt zyxwvutsrqponmlkjihg\n");
    world.zone("keyed.example", &[(list, "."), (list, "_email")]).keys = Some(keys);
    world.zone("other.example", &[(list, ".")]).keys = Some(others);
    world.zone("open.example", &[(list, ".")]);
    let (_, snapshot) = world.load();
    for (name, shown) in [
        ("1.2.0.192.0123456789abcdefghij.keyed.example", "1.2.0.192.[acme].keyed.example"),
        ("1.2.0.192.0123456789ABCDEFGHIJ.Keyed.Example", "1.2.0.192.[acme].Keyed.Example"),
        ("1.2.0.192.0123456789abcdefghik.keyed.example", "1.2.0.192.[?].keyed.example"),
        ("0123456789abcdefghij.keyed.example", "[acme].keyed.example"),
        ("1.2.0.192.keyed.example", "1.2.0.192.keyed.example"),
        ("keyed.example", "keyed.example"),
        (".", "."),
        // where customers put them wrongly
        ("x.0123456789abcdefghij._email.keyed.example", "x.[acme]._email.keyed.example"),
        ("0123456789abcdefghij.1.2.0.192.keyed.example", "[acme].1.2.0.192.keyed.example"),
        ("1.0123456789abcdefghij.0123456789abcdefghij.keyed.example", "1.[acme].[acme].keyed.example"),
        ("1.2.0.192.zyxwvutsrqponmlkjihg.keyed.example", "1.2.0.192.[bolt].keyed.example"),
        ("1.2.0.192.0123456789abcdefghij.open.example", "1.2.0.192.[acme].open.example"),
        ("1.2.0.192.0123456789abcdefghij.nosuch.example", "1.2.0.192.[acme].nosuch.example"),
        ("0123456789abcdefghij", "[acme]"),
        // what is a key nowhere, and stands in no key's place
        ("0123456789abcdefghik.1.2.0.192.keyed.example", "0123456789abcdefghik.1.2.0.192.keyed.example"),
        ("0123456789abcdefghik.open.example", "0123456789abcdefghik.open.example"),
    ] {
        let wire = &Query::new(name, 1).name;
        assert_eq!(Shown { snapshot: &snapshot, wire }.to_string(), shown);
    }
}

#[test]
fn dnstap_leaves_out_what_has_a_key_anywhere_in_it() {
    let mut world = World::new();
    let list = world.dataset("list", Format::Ip4Set, "192.0.2.1\n");
    let keys = world.dataset("customers", Format::Keys, "acme 0123456789abcdefghij\n");
    world.zone("keyed.example", &[(list, ".")]).keys = Some(keys);
    world.zone("open.example", &[(list, ".")]);
    let (_, snapshot) = world.load();
    let query = |name: &str| Query::new(name, 1).bytes();
    let mut second = query("told1.open.example");
    second.extend_from_slice(b"\x140123456789abcdefghij\x04open\0\0\x01\0\x01");
    let mut pointing = query("0123456789ABCDEFGHIJ");
    let end = pointing.len() - 5;
    pointing.splice(end..=end, [0xc0, 12]);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let collector = UnixListener::bind(&socket).unwrap();
    let sample = Sample(NonZeroU32::MIN);
    let dnstap = Dnstap::start(&DnstapSpec { socket, identity: None, sample }, Box::new(|_, _| {})).unwrap();
    for query in [
        query("told2.open.example"),
        query("1.2.0.192.0123456789abcdefghij.keyed.example"),
        query("1.2.0.192.0123456789abcdefghik.keyed.example"),
        query("0123456789abcdefghij.nosuch.example"),
        second,
        pointing,
        query("told3.keyed.example"),
    ] {
        dnstap.note(&Exchange {
            client: Ipv4Addr::LOCALHOST.into(),
            carrier: Carrier::Udp,
            now: NOW,
            query: &query,
            reply: &[],
            outcome: Outcome::Drop(DropReason::Limited),
            snapshot: &snapshot,
        });
    }
    let taken = thread::spawn(move || take_frames(collector));
    drop(dnstap);
    let taken = taken.join().unwrap();
    let has = |text: &[u8]| taken.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text));
    assert!(has(b"told2") && has(b"told3") && !has(b"told1") && !has(b"0123456789abcdefghi"));
}

/// What a sender of frame streams sends until it stops.
fn take_frames(collector: UnixListener) -> Vec<u8> {
    const ACCEPT: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1];
    const STOP: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3];
    let (mut stream, _) = collector.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(ACCEPT).unwrap();
    let mut taken = Vec::new();
    while !taken.ends_with(STOP) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        taken.extend(byte);
    }
    taken
}

/// Sends a cookie; the one that comes back.
fn cookie(server: &Server, sent: &[u8]) -> Vec<u8> {
    let options = [&[0, 10, 0, sent.len() as u8][..], sent].concat();
    let query = Query { edns: Some(Opt { options, ..Opt::of_size(1232) }), ..Query::new("bl.example", TYPE_SOA) };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&query.bytes(), server.address).unwrap();
    let mut buffer = [0; 1232];
    let length = socket.recv(&mut buffer).unwrap();
    let options = Message::read(&buffer[..length]).unwrap().opt.unwrap().options;
    assert_eq!(options[..4], [0, 10, 0, 24]);
    options[4..].to_vec()
}

/// Puts a file in its place as everybody should.
fn put(folder: &Path, name: &str, text: &str, mode: u32) {
    let aside = folder.join("aside");
    fs::write(&aside, text).unwrap();
    fs::set_permissions(&aside, Permissions::from_mode(mode)).unwrap();
    fs::rename(aside, folder.join(name)).unwrap();
}

/// The bytes of all files of a folder.
fn files_below(folder: &Path) -> Vec<Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => fs::read(path).into_iter().collect(),
        })
        .collect()
}

const KEYED: &str = "[[dataset]]
name = \"customers\"
format = \"keys\"
files = \"customers\"
[[zone]]
apex = \"keyed.example\"
datasets = [\"list\"]
keys = \"customers\"
";
