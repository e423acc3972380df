//! How many replies alike go to one network over UDP: what keeps the server from being turned against others by queries that
//! bear their addresses.
//!
//! The terms are BIND's. A network and a class of reply have an account: so many replies are earned a second, up to one second's;
//! each reply costs one. Below zero nothing is sent but every so manieth reply, and that short; an account falls no lower than
//! what the window earns, so that whoever stops is heard again after that time.
//!
//! Invariant: one query costs a keyed hash and one cache line of a table of fixed size, whatever is asked: no lock, no
//! allocation, and at most a few attempts to write. Where several fail the reply is sent. An account that is not known any more
//! begins anew, so that a full table sends more and not less.
//!
//! It does not decide what is sent instead.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use siphasher::sip::SipHasher13;

use crate::answer::Class;
use crate::dnsxl::name::MAX_WIRE;
use crate::zone::UnixTime;

/// What is bounded, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Replies with records a second, of one name and type; 0 for as many as there are, here and in the next four.
    pub positive: u32,
    /// NODATA a second, of one name.
    pub nodata: u32,
    /// NXDOMAIN a second, of one zone.
    pub nxdomain: u32,
    /// Errors a second.
    pub error: u32,
    /// Replies of all kinds a second.
    pub all: u32,
    /// Seconds.
    pub window: u32,
    /// Every which of the replies that are too many is sent short; 0 for none.
    pub slip: u8,
    /// Bits of an address that are one network.
    pub ipv4_prefix: u8,
    /// The same for IPv6.
    pub ipv6_prefix: u8,
    /// Accounts that are known at once.
    pub table_size: usize,
    /// Whether everything is sent, and it is only counted what would not be.
    pub dry_run: bool,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            positive: 0,
            nodata: 0,
            nxdomain: 0,
            error: 0,
            all: 0,
            window: 15,
            slip: 2,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            table_size: 1 << 18,
            dry_run: false,
        }
    }
}

impl RateLimits {
    /// The first key that is out of bounds, and what may be written there.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let numbers = [
            ("responses-per-second", u64::from(self.positive), 0, MAX_RATE),
            ("nodata-per-second", self.nodata.into(), 0, MAX_RATE),
            ("nxdomains-per-second", self.nxdomain.into(), 0, MAX_RATE),
            ("errors-per-second", self.error.into(), 0, MAX_RATE),
            ("all-per-second", self.all.into(), 0, MAX_RATE),
            ("window", self.window.into(), 1, MAX_WINDOW),
            ("slip", self.slip.into(), 0, MAX_SLIP),
            ("ipv4-prefix", self.ipv4_prefix.into(), 1, 32),
            ("ipv6-prefix", self.ipv6_prefix.into(), 1, 128),
            ("table-size", self.table_size as u64, MIN_TABLE, MAX_TABLE),
        ];
        match numbers.into_iter().find(|(_, number, least, most)| !(least..=most).contains(&number)) {
            Some((key, _, least, most)) => Err((key, format!("{least} to {most}"))),
            None => Ok(()),
        }
    }

    /// Whether anything is bounded.
    pub(crate) fn bounds_anything(&self) -> bool {
        [self.positive, self.nodata, self.nxdomain, self.error, self.all].iter().any(|&rate| rate > 0)
    }
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is sent.
    Send,
    /// It is one too many, and sent short.
    Slip,
    /// It is one too many.
    Drop,
}

/// The accounts.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) limits: RateLimits,
    /// Its key is this process' own, so that nobody can choose networks that meet in one line.
    key: (u64, u64),
    lines: Box<[Line]>,
}

/// Accounts that one hash may stand for.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; ACCOUNTS]);

impl Rates {
    pub(super) fn new(limits: RateLimits) -> Self {
        let lines = (0..limits.table_size.div_ceil(ACCOUNTS)).map(|_| Line::default()).collect();
        let random = RandomState::new();
        Self { limits, key: (random.hash_one(0), random.hash_one(1)), lines }
    }

    /// Takes a reply off the account of all, and off that of its class.
    ///
    /// Beyond the first nothing is sent: what would be short is as many replies.
    pub(super) fn judge(&self, client: IpAddr, class: Class<'_>, now: UnixTime) -> Verdict {
        let limits = &self.limits;
        if limits.all > 0 && self.charge(client, None, limits.all, now) != Verdict::Send {
            return Verdict::Drop;
        }
        let rate = match class {
            Class::Positive { .. } => limits.positive,
            Class::NoData { .. } => limits.nodata,
            Class::NxDomain { .. } => limits.nxdomain,
            Class::Error => limits.error,
        };
        if rate > 0 { self.charge(client, Some(class), rate, now) } else { Verdict::Send }
    }

    /// Takes a reply off the account of a class, or of all.
    fn charge(&self, client: IpAddr, class: Option<Class<'_>>, rate: u32, now: UnixTime) -> Verdict {
        let limits = &self.limits;
        let network = match client {
            IpAddr::V4(address) => u128::from(u32::from(address) >> (32 - u32::from(limits.ipv4_prefix))),
            // no IPv4 network has this bit
            IpAddr::V6(address) => !(u128::MAX >> 1) | u128::from(address) >> (128 - u32::from(limits.ipv6_prefix)),
        };
        let hash = self.hash(network, class);
        // the lower half chooses the line, bits of the upper half tell who is in it
        let line = &self.lines[(((hash & 0xffff_ffff) * self.lines.len() as u64) >> 32) as usize];
        let mark = (hash >> MARK_AT).max(1);
        let second = now.0 as u16;
        for _ in 0..ATTEMPTS {
            let (place, before) = line.find(mark, second);
            let known = (before >> MARK_AT == mark).then(|| Account::unpack(before));
            let (account, verdict) = Account::charge(known, limits, rate, second);
            let after = account.pack(mark);
            if after == before || place.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return verdict;
            }
        }
        Verdict::Send
    }
}

impl Rates {
    /// By what a network and a class are known.
    fn hash(&self, network: u128, class: Option<Class<'_>>) -> u64 {
        let (kind, name, number) = match class {
            Some(Class::Positive { name, qtype }) => (0_u8, name, qtype.into()),
            Some(Class::NoData { name }) => (1, name, 0),
            Some(Class::NxDomain { zone }) => (2, &[][..], zone as u64),
            Some(Class::Error) => (3, &[][..], 0),
            None => (4, &[][..], 0),
        };
        // in one piece: a hasher is slow with many small ones
        let mut whole = ArrayVec::<u8, { 16 + 8 + 1 + MAX_WIRE }>::new();
        for part in [&network.to_ne_bytes()[..], &number.to_ne_bytes(), &[kind], name] {
            let room = whole.remaining_capacity().min(part.len());
            // a name is never longer than the room for it
            let _ = whole.try_extend_from_slice(&part[..room]);
        }
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(&whole);
        hasher.finish()
    }
}

impl Line {
    /// The place of an account, or else that of the one that was used least lately; and what is there.
    fn find(&self, mark: u64, second: u16) -> (&AtomicU64, u64) {
        let mut oldest = (&self.0[0], 0, 0);
        for place in &self.0 {
            let packed = place.load(Ordering::Relaxed);
            if packed >> MARK_AT == mark {
                return (place, packed);
            }
            // nobody is in an empty place, and no account is as old
            let age = if packed == 0 { u32::MAX } else { second.wrapping_sub(Account::unpack(packed).second).into() };
            if age >= oldest.2 {
                oldest = (place, packed, age);
            }
        }
        (oldest.0, oldest.1)
    }
}

/// What is known of one network and class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    /// When it was last charged, by the last bits of the time.
    second: u16,
    /// Replies that were too many, since the last that was sent short.
    turns: u8,
    /// Replies that are left.
    balance: i32,
}

impl Account {
    /// Takes a reply off an account, or off a new one.
    fn charge(known: Option<Self>, limits: &RateLimits, rate: u32, second: u16) -> (Self, Verdict) {
        let rate = rate as i32;
        let (before, turns) = match known {
            None => (rate, 0),
            Some(account) => match second.wrapping_sub(account.second) {
                // a clock that was set back earns nothing
                age if age > u16::MAX / 2 => (account.balance, account.turns),
                age if u32::from(age) > limits.window => (rate, 0),
                age => (account.balance.saturating_add(rate.saturating_mul(age.into())).min(rate), account.turns),
            },
        };
        let least = rate.saturating_mul(limits.window as i32).min(MOST_DEBT);
        let balance = (before - 1).max(-least);
        let (turns, verdict) = match turns + 1 {
            _ if balance >= 0 => (0, Verdict::Send),
            _ if limits.slip == 0 => (0, Verdict::Drop),
            turns if turns >= limits.slip => (0, Verdict::Slip),
            turns => (turns, Verdict::Drop),
        };
        (Self { second, turns, balance }, verdict)
    }

    fn pack(self, mark: u64) -> u64 {
        let balance = (self.balance + (1 << (BALANCE_BITS - 1))) as u64;
        mark << MARK_AT | u64::from(self.second) << SECOND_AT | u64::from(self.turns) << BALANCE_BITS | balance
    }

    fn unpack(packed: u64) -> Self {
        let balance = (packed & ((1 << BALANCE_BITS) - 1)) as i32 - (1 << (BALANCE_BITS - 1));
        Self { second: (packed >> SECOND_AT) as u16, turns: (packed >> BALANCE_BITS & 0xf) as u8, balance }
    }
}

/// Accounts of one line: what a processor fetches at once.
const ACCOUNTS: usize = 8;
/// How often it is tried to write an account that others write to.
const ATTEMPTS: usize = 4;
/// An account: 24 bits of balance, 4 of turns, 16 of time, 20 by which it is known.
const BALANCE_BITS: u32 = 24;
const SECOND_AT: u32 = BALANCE_BITS + 4;
const MARK_AT: u32 = SECOND_AT + 16;
/// The lowest that a balance falls: what fits its bits.
const MOST_DEBT: i32 = (1 << (BALANCE_BITS - 1)) - 1;
/// Replies a second: more is no bound for one network.
const MAX_RATE: u64 = 100_000;
/// Seconds: what BIND allows.
const MAX_WINDOW: u64 = 3600;
/// What fits the bits of turns, and what BIND allows.
const MAX_SLIP: u64 = 10;
/// Accounts: fewer would be pushed out by the usual traffic of a small server.
const MIN_TABLE: u64 = 1024;
/// Accounts: 128 MiB.
const MAX_TABLE: u64 = 1 << 24;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates(limits: RateLimits) -> Rates {
        Rates::new(limits)
    }

    const LIMITS: RateLimits = RateLimits {
        positive: 5,
        nodata: 3,
        nxdomain: 0,
        error: 2,
        all: 0,
        window: 15,
        slip: 2,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
        table_size: 1024,
        dry_run: false,
    };
    const LISTED: Class<'static> = Class::Positive { name: b"\x01a", qtype: 1 };

    fn verdicts(rates: &Rates, client: &str, class: Class<'_>, now: i64, count: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..count {
            counts[rates.judge(client.parse().unwrap(), class, UnixTime(now)) as usize] += 1;
        }
        counts
    }

    #[test]
    fn so_many_a_second_and_every_second_one_beyond_it_short() {
        let rates = rates(LIMITS);
        assert_eq!(verdicts(&rates, "192.0.2.1", LISTED, 1000, 9), [5, 2, 2]);
        // four were owed, so that the next second earns one
        assert_eq!(verdicts(&rates, "192.0.2.1", LISTED, 1001, 3), [1, 1, 1]);
    }

    #[test]
    fn a_network_is_one_and_another_is_another() {
        let rates = rates(LIMITS);
        assert_eq!(verdicts(&rates, "192.0.2.1", LISTED, 1000, 5), [5, 0, 0]);
        assert_eq!(verdicts(&rates, "192.0.2.255", LISTED, 1000, 2), [0, 1, 1]);
        assert_eq!(verdicts(&rates, "192.0.3.1", LISTED, 1000, 5), [5, 0, 0]);
        assert_eq!(verdicts(&rates, "2001:db8:0:aa::1", LISTED, 1000, 5), [5, 0, 0]);
        assert_eq!(verdicts(&rates, "2001:db8:0:bb::1", LISTED, 1000, 1), [0, 0, 1]);
        assert_eq!(verdicts(&rates, "2001:db8:0:1bb::1", LISTED, 1000, 1), [1, 0, 0]);
    }

    #[test]
    fn a_class_is_counted_by_itself() {
        let rates = rates(LIMITS);
        let other = Class::Positive { name: b"\x01b", qtype: 1 };
        let text = Class::Positive { name: b"\x01a", qtype: 16 };
        for (class, sent) in [
            (LISTED, 5),
            (other, 5),
            (text, 5),
            (Class::NoData { name: b"\x01a" }, 3),
            (Class::NxDomain { zone: 0 }, 50),
            (Class::Error, 2),
        ] {
            assert_eq!(verdicts(&rates, "192.0.2.1", class, 1000, 50)[0], sent, "{class:?}");
        }
    }

    /// Names vary as the client likes, and so do the accounts of their replies.
    #[test]
    fn all_replies_to_a_network_are_bounded_together_and_none_is_sent_short() {
        let rates = rates(RateLimits { all: 20, ..LIMITS });
        let names: Vec<[u8; 2]> = (0..100).map(|number| [1, number]).collect();
        let mut counts = [0; 3];
        for name in &names {
            let class = Class::Positive { name, qtype: 1 };
            let verdict = rates.judge("192.0.2.1".parse().unwrap(), class, UnixTime(1000));
            counts[verdict as usize] += 1;
        }
        assert_eq!(counts, [20, 0, 80]);
        assert_eq!(verdicts(&rates, "192.0.3.1", LISTED, 1000, 9), [5, 2, 2], "another network");
    }

    #[test]
    fn slip_0_sends_none_and_slip_1_all_short() {
        let none = rates(RateLimits { slip: 0, ..LIMITS });
        assert_eq!(verdicts(&none, "192.0.2.1", LISTED, 1000, 25), [5, 0, 20]);
        let all = rates(RateLimits { slip: 1, ..LIMITS });
        assert_eq!(verdicts(&all, "192.0.2.1", LISTED, 1000, 25), [5, 20, 0]);
        let some = rates(RateLimits { slip: 10, ..LIMITS });
        assert_eq!(verdicts(&some, "192.0.2.1", LISTED, 1000, 25), [5, 2, 18]);
    }

    #[test]
    fn whoever_stops_is_heard_again_after_the_window() {
        let rates = rates(LIMITS);
        verdicts(&rates, "192.0.2.1", LISTED, 1000, 100_000);
        assert_eq!(verdicts(&rates, "192.0.2.1", LISTED, 1014, 1)[0], 0);
        assert_eq!(verdicts(&rates, "192.0.2.1", LISTED, 1030, 6)[0], 5);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_away() {
        let rates = rates(LIMITS);
        verdicts(&rates, "192.0.2.1", LISTED, 1000, 50);
        assert_eq!(verdicts(&rates, "192.0.2.1", LISTED, 990, 1)[0], 0);
        assert_eq!(verdicts(&rates, "192.0.2.1", LISTED, 991, 1)[0], 0);
    }

    #[test]
    fn a_full_table_sends_more_and_never_less() {
        let rates = rates(LIMITS);
        for number in 0..100_000_u32 {
            let client = IpAddr::from((number << 8).to_be_bytes());
            assert_eq!(rates.judge(client, LISTED, UnixTime(1000)), Verdict::Send);
        }
    }

    proptest! {
        #[test]
        fn an_account_survives_its_packing(mark in 1..1_u64 << 20, second: u16, turns in 0..11_u8, balance in -MOST_DEBT..100_000) {
            let account = Account { second, turns, balance };
            let packed = account.pack(mark);
            prop_assert_eq!((packed >> MARK_AT, Account::unpack(packed)), (mark, account));
        }

        /// Over any time no more is sent whole than was earned.
        #[test]
        fn no_more_is_sent_than_was_earned(steps in prop::collection::vec((0..40_i64, 1..30_usize), 1..60)) {
            let rates = rates(LIMITS);
            let (mut now, mut sent) = (1000, 0);
            for (pause, count) in steps {
                now += pause;
                sent += verdicts(&rates, "192.0.2.1", LISTED, now, count)[0];
            }
            prop_assert!(sent as i64 <= 5 * (now - 1000 + 1));
        }
    }
}
