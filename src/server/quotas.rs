//! How much each key and each client has asked in this second and on this day.
//!
//! Invariant: a query costs nothing here unless its zone has a quota, and then a keyed hash and one cache line of a table of fixed
//! size, without lock or allocation. Counts are those of this process, and begin anew with it. Where a line is full the account that has
//! asked least today gives its place away, and of several the one idle longest: a full table refuses less and not more, and who
//! forges addresses by the thousand does not have those forgotten that are at their limit.

use std::cmp::Reverse;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::feed::Quota;
use crate::zone::{Account, Meter, UnixTime};

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    hasher: RandomState,
    /// Keys are few and known; clients are whoever forges an address, and must not push keys out.
    keys: Table,
    clients: Table,
    refused: Refused,
}

/// Queries that were beyond a quota; by itself, as all workers share it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Refused(AtomicU64);

/// Made with the first query that is counted: most servers have no quotas.
#[derive(Debug, Default)]
struct Table(OnceLock<Box<[Line]>>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([Place; ACCOUNTS]);

/// One account. Both words have a mark of whose they are, as they are written one after the other.
#[derive(Debug, Default)]
struct Place {
    second: AtomicU64,
    day: AtomicU64,
}

impl Quotas {
    /// Queries that were beyond a quota.
    pub(super) fn refused(&self) -> u64 {
        self.refused.0.load(Ordering::Relaxed)
    }

    fn is_left(&self, account: Account, quota: Quota, now: UnixTime) -> bool {
        let (table, hash) = match account {
            Account::Key(key) => (&self.keys, self.hasher.hash_one(key)),
            Account::Client(zone, IpAddr::V4(address)) => {
                (&self.clients, self.hasher.hash_one((zone, u32::from(address))))
            }
            Account::Client(zone, IpAddr::V6(address)) => {
                let network = (u128::from(address) >> 64) as u64;
                (&self.clients, self.hasher.hash_one((zone, network)))
            }
        };
        let lines = table.0.get_or_init(|| (0..LINES).map(|_| Line::default()).collect());
        let line = &lines[hash as usize % LINES];
        let second = SECOND.of(now.0);
        let day = DAY.of(now.0.div_euclid(SECONDS_OF_DAY));
        let Some(place) = line.find(SECOND.mark(hash), second, day) else { return true };
        // what is beyond the quota writes nothing, so that a flood of it is cheap
        let left = |count: u64, most: Option<u32>| most.is_none_or(|most| count < u64::from(most));
        if !left(DAY.count(place.day.load(Ordering::Relaxed), hash, day), quota.per_day) {
            return false;
        }
        SECOND.count_up(&place.second, hash, second, quota.per_second)
            && (quota.per_day.is_none() || DAY.count_up(&place.day, hash, day, quota.per_day))
    }
}

impl Meter for Quotas {
    fn take(&self, account: Account, quota: Quota, now: UnixTime) -> bool {
        let is_left = self.is_left(account, quota, now);
        if !is_left {
            self.refused.0.fetch_add(1, Ordering::Relaxed);
        }
        is_left
    }
}

impl Line {
    /// The place of an account, which is made its own if it has none; none where others were faster several times.
    fn find(&self, mark: u64, second: u64, day: u64) -> Option<&Place> {
        let word = |place: &Place| place.second.load(Ordering::Relaxed);
        for _ in 0..ATTEMPTS {
            if let Some(place) = self.0.iter().find(|place| SECOND.mark_in(word(place)) == mark) {
                return Some(place);
            }
            let (place, before) = self.0.iter().map(|place| (place, word(place))).min_by_key(|(place, word)| {
                let is_empty = *word == 0;
                (!is_empty, place.asked(*word, second, day), Reverse(SECOND.time_since(*word, second)))
            })?;
            let after = SECOND.word(mark, second, 0);
            if place.second.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Some(place);
            }
        }
        None
    }
}

impl Place {
    /// How much its account has asked on this day; without a quota for the day, in this second.
    fn asked(&self, word: u64, second: u64, day: u64) -> u64 {
        // a word begins with as much of the hash as both marks are made of
        let of_day = DAY.count(self.day.load(Ordering::Relaxed), word, day);
        if of_day > 0 { of_day } else { SECOND.count(word, word, second) }
    }
}

/// How a word is made of a mark, a time and a count.
struct Layout {
    time_bits: u32,
    count_bits: u32,
}

impl Layout {
    fn of(&self, time: i64) -> u64 {
        time as u64 & mask(self.time_bits)
    }

    /// By what an account is known in this word: never 0, so that an empty word is nobody's.
    fn mark(&self, hash: u64) -> u64 {
        (hash >> (self.time_bits + self.count_bits)).max(1)
    }

    fn mark_in(&self, word: u64) -> u64 {
        word >> (self.time_bits + self.count_bits)
    }

    fn word(&self, mark: u64, time: u64, count: u64) -> u64 {
        mark << (self.time_bits + self.count_bits) | time << self.count_bits | count.min(mask(self.count_bits))
    }

    fn time_since(&self, word: u64, now: u64) -> u64 {
        now.wrapping_sub(word >> self.count_bits) & mask(self.time_bits)
    }

    /// How much the account has asked in this time.
    fn count(&self, word: u64, hash: u64, now: u64) -> u64 {
        let is_now = self.mark_in(word) == self.mark(hash) && self.time_since(word, now) == 0;
        if is_now { word & mask(self.count_bits) } else { 0 }
    }

    /// Counts one query more, if one is left.
    fn count_up(&self, place: &AtomicU64, hash: u64, now: u64, most: Option<u32>) -> bool {
        for _ in 0..ATTEMPTS {
            let before = place.load(Ordering::Relaxed);
            let count = self.count(before, hash, now);
            if most.is_some_and(|most| count >= u64::from(most)) {
                return false;
            }
            let after = self.word(self.mark(hash), now, count + 1);
            if place.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
        // one that is not counted harms nobody
        true
    }
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// 24 bits of mark, 16 of the time, 24 of count: more a second than one account can ask.
const SECOND: Layout = Layout { time_bits: 16, count_bits: 24 };
/// 16 bits of mark, 12 of the day, 36 of count.
const DAY: Layout = Layout { time_bits: 12, count_bits: 36 };
const SECONDS_OF_DAY: i64 = 86_400;
/// Accounts of one line: what a processor fetches at once.
const ACCOUNTS: usize = 4;
/// Lines of a table: 65,536 accounts in 1 MiB.
const LINES: usize = 1 << 14;
/// How often it is tried to write what others write to.
const ATTEMPTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(quotas: &Quotas, account: Account, quota: &str, now: i64, count: usize) -> usize {
        let quota = Quota::parse(quota).unwrap();
        (0..count).filter(|_| quotas.take(account, quota, UnixTime(now))).count()
    }

    fn client(address: &str) -> Account {
        Account::Client(7, address.parse().unwrap())
    }

    #[test]
    fn so_many_a_second() {
        let quotas = Quotas::default();
        for now in 1000..1003 {
            assert_eq!(take(&quotas, Account::Key(1), "10/s", now, 25), 10, "{now}");
        }
        assert_eq!(quotas.refused(), 45);
        assert_eq!(take(&quotas, Account::Key(2), "10/s", 1002, 25), 10, "another one's");
        assert_eq!(take(&quotas, Account::Key(3), "", 1002, 25), 25);
    }

    #[test]
    fn so_many_a_day_of_utc() {
        let quotas = Quotas::default();
        let midnight = 20_000 * SECONDS_OF_DAY;
        let day: usize =
            (0..100).map(|minute| take(&quotas, Account::Key(1), "10/s 55/d", midnight - 6000 + 60 * minute, 20)).sum();
        assert_eq!(day, 55);
        assert_eq!(take(&quotas, Account::Key(1), "10/s 55/d", midnight - 1, 20), 0);
        assert_eq!(take(&quotas, Account::Key(1), "10/s 55/d", midnight, 20), 10);
    }

    #[test]
    fn a_client_is_an_address_or_a_64_in_a_zone() {
        let quotas = Quotas::default();
        for (account, left) in [
            (client("192.0.2.1"), 3),
            (client("192.0.2.2"), 3),
            (client("2001:db8::1"), 3),
            (client("2001:db8::2"), 0),
            (client("2001:db8:0:1::1"), 3),
            (Account::Client(8, "192.0.2.1".parse().unwrap()), 3),
            (client("192.0.2.1"), 0),
        ] {
            assert_eq!(take(&quotas, account, "3/d", 1000, 9), left, "{account:?}");
        }
    }

    #[test]
    fn keys_are_not_pushed_out_by_clients() {
        let quotas = Quotas::default();
        assert_eq!(take(&quotas, Account::Key(1), "3/d", 1000, 9), 3);
        for number in 0..300_000_u32 {
            take(&quotas, Account::Client(7, IpAddr::from(number.to_be_bytes())), "3/d", 1000, 1);
        }
        assert_eq!(take(&quotas, Account::Key(1), "3/d", 1000, 9), 0);
    }

    #[test]
    fn who_is_at_a_limit_is_not_forgotten_for_forged_addresses() {
        let quotas = Quotas::default();
        assert_eq!(take(&quotas, client("192.0.2.1"), "10/d", 1000, 99), 10);
        for number in 0..300_000_u32 {
            take(&quotas, Account::Client(7, IpAddr::from((1 << 31 | number).to_be_bytes())), "10/d", 1001, 1);
        }
        assert_eq!(take(&quotas, client("192.0.2.1"), "10/d", 1001, 9), 0);
    }

    #[test]
    fn no_query_is_counted_twice_or_forgotten_by_threads_beside_each_other() {
        let quotas = Quotas::default();
        let taken: usize = std::thread::scope(|scope| {
            let ask = || take(&quotas, Account::Key(1), "5000/d", 1000, 5000);
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // what lost a race several times passes uncounted
        assert!((5000..5100).contains(&taken), "{taken}");
    }
}
