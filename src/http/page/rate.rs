//! How often one network may ask.
//!
//! Invariant: what is remembered is bounded, and only those are forgotten who might ask again anyway.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::server::connections::site;

/// What each network has left.
#[derive(Debug)]
pub(super) struct Rates {
    /// Requests a minute, and as many at once.
    most: u32,
    left: HashMap<IpAddr, Left>,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    requests: f64,
    at: Instant,
}

impl Rates {
    pub(super) fn new(most: u32) -> Self {
        Self { most, left: HashMap::new() }
    }

    /// Takes one request of a client; otherwise how long it has to wait for the next.
    pub(super) fn take(&mut self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let (most, a_second) = (f64::from(self.most), f64::from(self.most) / 60.0);
        let refilled = |left: &Left| (left.requests + now.duration_since(left.at).as_secs_f64() * a_second).min(most);
        let client = site(client);
        if self.left.len() >= REMEMBERED && !self.left.contains_key(&client) {
            self.left.retain(|_, left| refilled(left) < most);
            if self.left.len() >= REMEMBERED {
                return Err(Duration::from_secs(60));
            }
        }
        let left = self.left.entry(client).or_insert(Left { requests: most, at: now });
        *left = Left { requests: refilled(left), at: now };
        if left.requests < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left.requests) / a_second));
        }
        left.requests -= 1.0;
        Ok(())
    }
}

/// Networks that are remembered, some 64 bytes each.
const REMEMBERED: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_its_requests_back_with_time() {
        let (mut rates, begin) = (Rates::new(60), Instant::now());
        for _ in 0..60 {
            rates.take(client("2001:db8::1"), begin).unwrap();
        }
        let wait = rates.take(client("2001:db8::2"), begin).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1), "the /64 is one client");
        rates.take(client("2001:db8:0:1::2"), begin).unwrap();
        rates.take(client("2001:db8::1"), begin + wait).unwrap();
        rates.take(client("2001:db8::1"), begin + wait).unwrap_err();
    }

    #[test]
    fn who_has_asked_nothing_lately_makes_room() {
        let (mut rates, begin) = (Rates::new(60), Instant::now());
        for number in 0..REMEMBERED as u32 {
            rates.take(IpAddr::V4(number.into()), begin).unwrap();
        }
        rates.take(client("2001:db8::1"), begin).unwrap_err();
        rates.take(client("0.0.0.1"), begin).unwrap();
        rates.take(client("2001:db8::1"), begin + Duration::from_secs(2)).unwrap();
        assert!(rates.left.len() < 10, "{}", rates.left.len());
    }
}
