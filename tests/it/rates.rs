//! What bounds replies over UDP, and quotas, behind real sockets: who is held back, and who is not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use infamy::cookie::{Secret, Secrets};
use infamy::feed::{Format, Quota};
use infamy::server::{Listen, RateLimits, Running, bind};
use infamy::snapshot::Published;
use infamy::zone::RefuseWith;

use crate::wire::{Message, Opt, Query, TC, TYPE_A, TYPE_SOA, TYPE_TXT};
use crate::world::World;

#[test]
fn beyond_the_rate_every_second_reply_is_sent_short_and_says_come_over_tcp() {
    let server = Server::start(LIMITS, |_| {});
    let replies = server.burst(&Query::new(LISTED, TYPE_A));
    let (whole, short): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| !reply.has(TC));
    // the clock may go on a few seconds meanwhile
    assert!((5..25).contains(&whole.len()), "{}", whole.len());
    assert!(whole.iter().all(|reply| reply.sections[0].len() == 1));
    assert!(short.iter().all(|reply| reply.rcode() == 0 && reply.sections.iter().all(Vec::is_empty)));
    let counted = server.running.tallies().abuse();
    assert_eq!(short.len() as u64, counted.slipped);
    assert_eq!(whole.len() as u64 + counted.slipped + counted.limited, BURST as u64);
    assert!(counted.limited.abs_diff(counted.slipped) <= 5, "{counted:?}");
    assert!(server.tcp(&Query::new(LISTED, TYPE_A)).sections[0].len() == 1);
}

#[test]
fn with_a_clients_cookie_the_short_reply_is_badcookie_and_with_what_it_gives_nothing_is_held_back() {
    let server = Server::start(LIMITS, |_| {});
    let mut query = Query::new(LISTED, TYPE_A);
    query.edns = Some(Opt { options: vec![0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8], ..Opt::of_size(1232) });
    let replies = server.burst(&query);
    let badcookie: Vec<_> = replies.iter().filter(|reply| reply.rcode() == 23).collect();
    assert!(!badcookie.is_empty() && replies.iter().all(|reply| !reply.has(TC)));
    assert!(badcookie.iter().all(|reply| reply.sections.iter().all(Vec::is_empty)));
    query.edns = badcookie[0].opt.as_ref().map(|opt| Opt { options: opt.options.clone(), ..Opt::of_size(1232) });
    let replies = server.burst(&query);
    assert_eq!(replies.len(), BURST);
    assert!(replies.iter().all(|reply| reply.sections[0].len() == 1));
    let counted = server.running.tallies().abuse();
    assert_eq!((counted.cookies_new, counted.cookies_good, counted.cookies_bad), (BURST as u64, BURST as u64, 0));
}

#[test]
fn kinds_of_reply_are_counted_apart_and_nxdomain_is_not_unless_asked() {
    let server = Server::start(LIMITS, |_| {});
    assert!(server.burst(&Query::new(LISTED, TYPE_A)).len() < BURST);
    assert_eq!(server.burst(&Query::new("9.2.0.192.bl.example", TYPE_A)).len(), BURST, "NXDOMAIN");
    assert!(server.burst(&Query::new("2.0.192.bl.example", TYPE_A)).len() < BURST, "NODATA");
    let refused = server.burst(&Query::new("www.example.net", TYPE_A));
    assert!(refused.len() < BURST && refused.iter().all(|reply| reply.rcode() == 5), "errors stay what they are");
    let with_nxdomain = Server::start(RateLimits { nxdomain: 5, ..LIMITS }, |_| {});
    assert!(with_nxdomain.burst(&Query::new("9.2.0.192.bl.example", TYPE_A)).len() < BURST);
}

/// As BIND has it of wildcards; and a code for whom may not ask says the same of every name.
#[test]
fn names_that_one_listing_or_one_refusal_answers_are_of_one_kind() {
    let server = Server::start(LIMITS, |world| {
        let names = world.dataset("names", Format::Dnset, ".phish.example\nexact.example\n");
        let networks = world.dataset("networks", Format::Ip4Trie, "198.51.100.0/24\n");
        world.zone("names.example", &[(names, "."), (networks, ".")]);
        let clients = world.dataset("clients", Format::Acl, "127.0.0.0/8 :refuse\n");
        world.zone("closed.example", &[(networks, ".")]);
        world.plan.zones[2].access = Some(clients);
        world.plan.zones[2].terms.refuse_with = RefuseWith::Code;
    });
    let varied = |suffix: &str| {
        let names = (0..BURST).map(|number| format!("{number}.{suffix}"));
        let replies = server.burst_of(&names.map(|name| Query::new(&name, TYPE_A).bytes()).collect::<Vec<_>>());
        replies.iter().filter(|reply| !reply.has(TC) && reply.sections[0].len() == 1).count()
    };
    assert!(varied("phish.example.names.example") < BURST / 2);
    assert!(varied("100.51.198.closed.example") < BURST / 2);
    // each address may be asked for by a mail server of its own
    assert_eq!(varied("100.51.198.names.example"), BURST);
}

#[test]
fn whoever_has_a_key_or_a_place_on_the_access_list_is_not_held_back() {
    let keyed = Server::start(LIMITS, |world| {
        world.plan.zones[0].keys = Some(world.dataset("customers", Format::Keys, "acme 0123456789abcdefghij\n"));
    });
    let query = Query::new("1.2.0.192.0123456789abcdefghij.bl.example", TYPE_A);
    assert_eq!(keyed.burst(&query).len(), BURST);
    assert!(keyed.burst(&Query::new("1.2.0.192.bl.example", TYPE_A)).len() < BURST, "REFUSED, an error");
    let listed = Server::start(LIMITS, |world| {
        world.plan.zones[0].access = Some(world.dataset("clients", Format::Acl, "127.0.0.0/8 :pass\n"));
    });
    assert_eq!(listed.burst(&Query::new(LISTED, TYPE_A)).len(), BURST);
}

#[test]
fn a_dry_run_counts_and_sends() {
    let server = Server::start(RateLimits { dry_run: true, ..LIMITS }, |_| {});
    let replies = server.burst(&Query::new(LISTED, TYPE_A));
    assert!(replies.len() == BURST && replies.iter().all(|reply| reply.sections[0].len() == 1));
    let counted = server.running.tallies().abuse();
    assert!(counted.limited > 0 && counted.slipped > 0);
}

#[test]
fn a_quota_is_for_all_doors_together_and_not_for_the_apex() {
    let server = Server::start(NO_LIMITS, |world| {
        // a day may end meanwhile, and then there are twice as many
        world.plan.zones[0].terms.quota = Quota::parse("7/d").unwrap();
    });
    let replies = server.burst(&Query::new(LISTED, TYPE_A));
    assert_eq!(replies.len(), BURST);
    let answered = replies.iter().filter(|reply| reply.rcode() == 0).count();
    assert!([7, 14].contains(&answered), "{answered}");
    assert_eq!(server.tcp(&Query::new(LISTED, TYPE_A)).rcode(), 5);
    assert_eq!(server.running.tallies().abuse().over_quota, (BURST - answered + 1) as u64);
    assert_eq!(server.tcp(&Query::new("bl.example", TYPE_SOA)).rcode(), 0);
}

#[test]
fn a_key_has_its_own_quota_or_the_zones() {
    let server = Server::start(NO_LIMITS, |world| {
        let keys = "acme 9876543210abcdefghij\nacme 0123456789abcdefghij 5/d\nbolt abcdefghij0123456789\n";
        world.plan.zones[0].keys = Some(world.dataset("customers", Format::Keys, keys));
        world.plan.zones[0].terms.key_quota = Quota::parse("9/d").unwrap();
    });
    let answered = |key: &str| {
        let replies = server.burst(&Query::new(&format!("1.2.0.192.{key}.bl.example"), TYPE_A));
        replies.iter().filter(|reply| reply.rcode() == 0).count()
    };
    assert_eq!(answered("0123456789abcdefghij"), 5);
    assert_eq!(answered("9876543210abcdefghij"), 0, "the same customer");
    assert_eq!(answered("abcdefghij0123456789"), 9);
}

#[test]
fn whom_a_list_lets_pass_has_no_quota_with_a_key_neither() {
    let server = Server::start(NO_LIMITS, |world| {
        world.plan.zones[0].access = Some(world.dataset("clients", Format::Acl, "127.0.0.0/8 :pass\n"));
        let keys = "acme 0123456789abcdefghij 5/d\n";
        world.plan.zones[0].keys = Some(world.dataset("customers", Format::Keys, keys));
        world.plan.zones[0].terms.quota = Quota::parse("5/d").unwrap();
    });
    for name in ["1.2.0.192.0123456789abcdefghij.bl.example", LISTED] {
        let replies = server.burst(&Query::new(name, TYPE_A));
        assert!(replies.len() == BURST && replies.iter().all(|reply| reply.rcode() == 0), "{name}");
    }
    assert_eq!(server.running.tallies().abuse().over_quota, 0);
}

#[test]
fn the_text_beyond_a_quota_says_whose_it_was_and_no_name() {
    let server = Server::start(NO_LIMITS, |world| {
        let keys = "acme 0123456789abcdefghij 5/d\n";
        world.plan.zones[0].keys = Some(world.dataset("customers", Format::Keys, keys));
        world.plan.zones[0].terms.refuse_with = RefuseWith::Code;
        let list = world.dataset("list2", Format::Ip4Set, "192.0.2.1\n");
        let zone = world.zone("open.example", &[(list, ".")]);
        (zone.terms.quota, zone.terms.refuse_with) = (Quota::parse("5/d").unwrap(), RefuseWith::Code);
    });
    for (name, says) in [
        ("1.2.0.192.0123456789abcdefghij.bl.example", "More was asked of bl.example with this key than its quota has"),
        ("1.2.0.192.open.example", "127.0.0.1 asked more of open.example than its quota has"),
    ] {
        server.burst(&Query::new(name, TYPE_A));
        let reply = server.tcp(&Query::new(name, TYPE_TXT));
        assert_eq!(reply.sections[0][0].data, format!("\"Error: no listing. {says}\""));
    }
}

/// A server on a port of its own, with a zone `bl.example` and a secret.
struct Server {
    running: Running,
}

impl Server {
    fn start(limits: RateLimits, set_up: impl FnOnce(&mut World)) -> Self {
        let mut world = World::new();
        let list = world.dataset("list", Format::Ip4Set, "192.0.2.1\n");
        world.zone("bl.example", &[(list, ".")]);
        set_up(&mut world);
        let (problems, mut snapshot) = world.load();
        assert!(problems.is_empty(), "{problems:?}");
        snapshot.secrets = Secrets::new([Secret([7; 16])]);
        let plain = vec![(Ipv4Addr::LOCALHOST, 0).into()];
        let listen = Listen { plain, rate_limits: Some(limits), ..Listen::default() };
        let running = bind(&listen).unwrap().run(Arc::new(Published::new(snapshot)), None).unwrap();
        Self { running }
    }

    fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    /// Sends one query many times; the replies.
    fn burst(&self, query: &Query) -> Vec<Message> {
        self.burst_of(&vec![query.bytes(); BURST])
    }

    /// Sends queries at once; the replies.
    fn burst_of(&self, queries: &[Vec<u8>]) -> Vec<Message> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(self.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        for query in queries {
            socket.send(query).unwrap();
        }
        // one socket's queries are answered in order, so that silence need not be waited for; this name is asked rarely enough
        socket.send(&Query { id: LAST, ..Query::new("bl.example", UNKNOWN_TYPE) }.bytes()).unwrap();
        let (mut replies, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let length = socket.recv(&mut buffer).expect("a reply to the last query");
            let reply = Message::read(&buffer[..length]).unwrap();
            if reply.id == LAST {
                return replies;
            }
            replies.push(reply);
        }
    }

    fn tcp(&self, query: &Query) -> Message {
        let bytes = query.bytes();
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&[&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()).unwrap();
        let mut prefix = [0; 2];
        stream.read_exact(&mut prefix).unwrap();
        let mut reply = vec![0; u16::from_be_bytes(prefix).into()];
        stream.read_exact(&mut reply).unwrap();
        Message::read(&reply).unwrap()
    }
}

const LISTED: &str = "1.2.0.192.bl.example";
const LIMITS: RateLimits = RateLimits {
    positive: 5,
    nodata: 5,
    nxdomain: 0,
    error: 5,
    all: 0,
    window: 15,
    slip: 2,
    ipv4_prefix: 24,
    ipv6_prefix: 56,
    table_size: 1024,
    dry_run: false,
};
const NO_LIMITS: RateLimits = RateLimits { positive: 0, nodata: 0, error: 0, ..LIMITS };
/// Queries sent at once: they wait in the socket's buffer.
const BURST: usize = 60;
/// The id of the query behind them.
const LAST: u16 = 0xfedc;
const UNKNOWN_TYPE: u16 = 1000;
const DEADLINE: Duration = Duration::from_secs(20);
