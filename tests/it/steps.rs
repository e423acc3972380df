//! Queries answered in steps, as the UDP loop takes them: read in place of one another, announced, and answered over
//! themselves.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use infamy::answer::{Asked, Asker, MAX_UDP_REPLY, Outcome, Transport, respond};
use infamy::feed::Format;
use infamy::snapshot::{Published, Snapshot};

use crate::wire::{DO, Opt, Query};
use crate::world::{NOW, World};

/// Enough listings that tables are announced: addresses, IPv6 networks, and names.
fn snapshot() -> Snapshot {
    let numbers = 0..60_000_u32;
    let of = |line: &dyn Fn(u32) -> String| numbers.clone().map(line).collect::<String>();
    let mut world = World::new();
    let addresses = world.dataset("addresses", Format::Ip4Set, &of(&|n| format!("{}\n", address(n))));
    let networks = of(&|n| format!("2a{:02x}:{:x}::/64\n", n % 100, n / 100));
    let networks = world.dataset("networks", Format::Ip6Trie, &networks);
    let names = world.dataset("names", Format::Dnset, &of(&|n| format!(".n{n}.example{}\n", n % 7)));
    world.zone("bl.example", &[(addresses, "."), (networks, "."), (names, ".")]);
    world.zone("below.example", &[(names, "names"), (addresses, ".")]);
    let (problems, snapshot) = world.load();
    assert!(problems.is_empty(), "{problems:?}");
    snapshot
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(number.wrapping_mul(2_654_435_761) | 1 << 30)
}

/// Questions of all kinds, listed and not, short and long after one another.
fn questions() -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for number in 0..600_u32 {
        let [a, b, c, d] = address(number * 151).octets();
        let name = match number % 9 {
            0..=2 => format!("{d}.{c}.{b}.{a}"),
            3 => format!("{b}.{a}"),
            4 => format!("www.n{}.example{}", number * 131, number * 131 % 7),
            5 => format!("n{}.example{}.names", number * 131, number * 131 % 7),
            6 => format!("example{}", number % 8),
            7 => format!(
                "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.{:x}.{:x}.0.0.{:x}.{:x}.a.2",
                number % 16,
                number / 16 % 16,
                number % 10,
                number / 10 % 10
            ),
            _ => "x".repeat(60) + &".y".repeat((number % 70) as usize),
        };
        let zone = if number % 2 == 0 { "bl.example" } else { "below.example" };
        let edns = (number % 5 < 2).then(|| Opt { flags: DO, ..Opt::of_size(1232) });
        let qtype = [1, 16, 28, 255, 43][number as usize % 5];
        let message = Query { edns, id: number as u16, ..Query::new(&format!("{name}.{zone}"), qtype) }.bytes();
        if number % 20 == 0 {
            messages.push(message[..message.len() - 3].to_vec());
        }
        if number % 31 == 0 {
            messages.push(Vec::new());
        }
        messages.push(message);
    }
    messages
}

#[test]
fn a_query_in_the_place_of_another_and_announced_gets_the_same_answer() {
    let snapshot = snapshot();
    let mut asked = Asked::default();
    let (mut positive, mut negative) = (0, 0);
    for message in questions() {
        let mut whole = [0; MAX_UDP_REPLY];
        let expected = respond(&snapshot, &message, CLIENT, Transport::Udp, NOW, &mut whole);
        let mut slot = [0xaa; MAX_UDP_REPLY];
        slot[..message.len()].copy_from_slice(&message);
        let outcome = match asked.read(&message) {
            Ok(()) => {
                asked.prefetch(&snapshot);
                asked.prefetch_further(&snapshot);
                asked.respond(&snapshot, &ASKER, &mut slot)
            }
            Err(reason) => Outcome::Drop(reason),
        };
        assert_eq!(outcome, expected);
        assert_eq!(slot[..outcome.length()], whole[..expected.length()]);
        let answers = if let Outcome::Reply { summary, .. } = outcome { summary.answers } else { 0 };
        *(if answers > 0 { &mut positive } else { &mut negative }) += 1;
    }
    assert!(positive > 50 && negative > 150, "{positive} {negative}");
}

/// That two threads write no line of memory in common shows in each being as fast beside the other as alone.
#[test]
#[ignore = "a measurement: cargo test --release --test it steps -- --ignored --nocapture"]
fn two_threads_are_twice_as_fast_as_one() {
    let published = Arc::new(Published::new(snapshot()));
    let rate = |threads: usize| {
        let one = || {
            let (published, messages) = (published.clone(), questions());
            move || {
                let (begin, mut answered) = (Instant::now(), 0_u64);
                let mut asked = Asked::default();
                let mut slot = [0; MAX_UDP_REPLY];
                while begin.elapsed() < Duration::from_secs(1) {
                    for batch in messages.chunks(32) {
                        let snapshot = published.load();
                        for message in batch.iter().filter(|message| !message.is_empty()) {
                            slot[..message.len()].copy_from_slice(message);
                            if asked.read(message).is_ok() {
                                asked.prefetch(&snapshot);
                                asked.prefetch_further(&snapshot);
                                asked.respond(&snapshot, &ASKER, &mut slot);
                                answered += 1;
                            }
                        }
                    }
                }
                answered as f64 / begin.elapsed().as_secs_f64()
            }
        };
        let running: Vec<_> = (0..threads).map(|_| std::thread::spawn(one())).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum::<f64>()
    };
    let mut ratios: Vec<f64> = (0..5).map(|_| rate(2) / rate(1)).collect();
    ratios.sort_by(f64::total_cmp);
    eprintln!("two threads answer {:.2} times what one does; of five tries {ratios:.2?}", ratios[2]);
    assert!(ratios[2] > 1.8);
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const ASKER: Asker<'static> = Asker { client: CLIENT, transport: Transport::Udp, now: NOW, meter: None };
