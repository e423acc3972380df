//! DNS Cookies (RFC 7873) in the form that servers share (RFC 9018): by one, a client shows that it can be reached where it
//! says it is.
//!
//! A server cookie is a version, a time and a SipHash-2-4 of them, the client's own cookie and its address, under a secret.
//! Whoever has the secret makes the same bytes in the same second, and takes what another made, whatever program it is.
//!
//! Invariant: a cookie is good if one of the secrets made it for this address and client cookie, at most an hour ago and five
//! minutes ahead. Secrets are in no message. What a cookie leads to is not decided here.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use siphasher::sip::SipHasher24;

use crate::zone::UnixTime;

/// The secrets of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(ArrayVec<Secret, MAX_SECRETS>);

/// 128 bits that servers of one address share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The client's own.
    pub client: [u8; CLIENT_BYTES],
    /// What it says it had from this server.
    pub server: Server,
}

/// The server's part of what a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// It has none yet.
    None,
    /// One of the length that ours have.
    Ours([u8; SERVER_BYTES]),
    /// One of another length, so that it cannot be ours.
    Other,
}

/// What the cookie of a query shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// There is none, or the server has no secret.
    #[default]
    Nothing,
    /// The client has none of ours yet.
    New,
    /// The client is where it says it is.
    Good,
    /// Not ours, too old, or of another address.
    Bad,
}

/// The data of a COOKIE option in a reply.
pub type Given = [u8; CLIENT_BYTES + SERVER_BYTES];

impl Secrets {
    /// The first makes cookies, all of them are taken; those past [`MAX_SECRETS`] are left out.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(secrets.into_iter().take(MAX_SECRETS).collect())
    }

    /// Whether there is one.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// What a client's cookie shows, and what the reply gives back: the same cookie while it is fresh, else a new one. None
    /// without a secret.
    pub fn check(&self, cookie: &Cookie, client: IpAddr, now: UnixTime) -> Option<(Shown, Given)> {
        let first = self.0.first()?;
        // RFC 9018, section 4.3: serial numbers (RFC 1982), so that the year 2106 passes unnoticed
        let now = now.0 as u32;
        let mut given = [0; CLIENT_BYTES + SERVER_BYTES];
        given[..CLIENT_BYTES].copy_from_slice(&cookie.client);
        let (shown, is_fresh) = match &cookie.server {
            Server::None => (Shown::New, false),
            Server::Other => (Shown::Bad, false),
            Server::Ours(ours) => {
                let age = now.wrapping_sub(time_of(ours)) as i32;
                let is_of = |secret: &Secret| secret.make(&cookie.client, client, ours) == *ours;
                match (-MOST_AHEAD..=MOST_AGE).contains(&age) && ours[0] == VERSION {
                    true if is_of(first) => (Shown::Good, (0..RENEWED).contains(&age)),
                    true if self.0[1..].iter().any(is_of) => (Shown::Good, false),
                    _ => (Shown::Bad, false),
                }
            }
        };
        let server = match cookie.server {
            Server::Ours(ours) if is_fresh => ours,
            _ => {
                let [t1, t2, t3, t4] = now.to_be_bytes();
                let head = [VERSION, 0, 0, 0, t1, t2, t3, t4, 0, 0, 0, 0, 0, 0, 0, 0];
                first.make(&cookie.client, client, &head)
            }
        };
        given[CLIENT_BYTES..].copy_from_slice(&server);
        Some((shown, given))
    }
}

impl Secret {
    /// Parses 32 hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; 32] = text.try_into().ok()?;
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let mut secret = [0; 16];
        for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(secret))
    }

    /// The server cookie with the version and time of `head` (RFC 9018, section 4).
    fn make(&self, cookie: &[u8; CLIENT_BYTES], client: IpAddr, head: &[u8; SERVER_BYTES]) -> [u8; SERVER_BYTES] {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        let mut input = [0; 2 * CLIENT_BYTES + 16];
        input[..CLIENT_BYTES].copy_from_slice(cookie);
        input[CLIENT_BYTES..2 * CLIENT_BYTES].copy_from_slice(&head[..CLIENT_BYTES]);
        let length = match client {
            IpAddr::V4(address) => {
                input[2 * CLIENT_BYTES..2 * CLIENT_BYTES + 4].copy_from_slice(&address.octets());
                2 * CLIENT_BYTES + 4
            }
            IpAddr::V6(address) => {
                input[2 * CLIENT_BYTES..].copy_from_slice(&address.octets());
                input.len()
            }
        };
        hasher.write(&input[..length]);
        let mut made = *head;
        made[SERVER_BYTES / 2..].copy_from_slice(&hasher.finish().to_le_bytes());
        made
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Cookie {
    /// Reads the data of a COOKIE option; none if it has a length that none can have (RFC 7873, section 5.2.2).
    pub fn read(data: &[u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        let server = match server.len() {
            0 => Server::None,
            SERVER_BYTES => Server::Ours(*server.first_chunk()?),
            SHORTEST_SERVER..=LONGEST_SERVER => Server::Other,
            _ => return None,
        };
        Some(Self { client: *client, server })
    }
}

fn time_of(server: &[u8; SERVER_BYTES]) -> u32 {
    u32::from_be_bytes([server[4], server[5], server[6], server[7]])
}

/// Bytes of a client's own cookie (RFC 7873, section 4.1).
pub const CLIENT_BYTES: usize = 8;
/// Bytes of a server cookie (RFC 9018, section 4).
pub const SERVER_BYTES: usize = 16;
/// The shortest and the longest that any server's may be (RFC 7873, section 4.2).
const SHORTEST_SERVER: usize = 8;
const LONGEST_SERVER: usize = 32;
/// The version; the three bytes behind it are reserved, zero in what is made here, and hashed as they are.
const VERSION: u8 = 1;
/// Seconds: an older cookie is not taken (RFC 9018, section 4.3).
const MOST_AGE: i32 = 3600;
/// Seconds: clocks of servers that share a secret are no further apart (RFC 9018, section 4.3).
const MOST_AHEAD: i32 = 300;
/// Seconds: the age from which a good cookie is given anew (RFC 9018, section 4.3).
const RENEWED: i32 = 1800;
/// Secrets that are taken at once: the one in use, the one before or after it, and as many again for the careless. A forged
/// cookie costs a hash for each.
pub const MAX_SECRETS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().map(|byte| char::from(byte).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn secret(text: &str) -> Secret {
        Secret::parse(text.as_bytes()).unwrap()
    }

    fn check(secrets: &[&str], data: &str, client: &str, now: i64) -> (Shown, Vec<u8>) {
        let secrets = Secrets::new(secrets.iter().map(|text| secret(text)));
        let cookie = Cookie::read(&hex(data)).unwrap();
        let (shown, given) = secrets.check(&cookie, client.parse().unwrap(), UnixTime(now)).unwrap();
        (shown, given.to_vec())
    }

    const A: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    #[test]
    fn rfc_9018_appendix_a1_a_new_cookie() {
        let (shown, given) = check(&[A], "2464c4abcf10c957", "198.51.100.100", 1_559_731_985);
        assert_eq!(shown, Shown::New);
        assert_eq!(given, hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
    }

    #[test]
    fn rfc_9018_appendix_a2_the_same_cookie_while_it_is_fresh() {
        let sent = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let (shown, given) = check(&[A], sent, "198.51.100.100", 1_559_734_385 - 1200);
        assert_eq!((shown, given), (Shown::Good, hex(sent)));
        // 40 minutes later it is taken, and another one given
        let (shown, given) = check(&[A], sent, "198.51.100.100", 1_559_734_385);
        assert_eq!((shown, given), (Shown::Good, hex("2464c4abcf10c957010000005cf7a871d4a564a1442aca77")));
    }

    #[test]
    fn rfc_9018_appendix_a3_reserved_bits_are_taken_as_they_are() {
        let sent = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        assert_eq!(check(&[A], sent, "203.0.113.203", 1_559_727_985).0, Shown::Good);
        let (shown, given) = check(&[A], sent, "203.0.113.203", 1_559_727_985 + 2000);
        assert_eq!((shown, &given[8..12]), (Shown::Good, &[1, 0, 0, 0][..]), "and zero in a new one");
    }

    #[test]
    fn rfc_9018_appendix_a4_over_ipv6_while_secrets_roll_over() {
        let old = "dd3bdf9344b678b185a6f5cb60fca715";
        let new = "445536bcd2513298075a5d379663c962";
        let sent = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
        let client = "2001:db8:220:1:59de:d0f4:8769:82b8";
        let (shown, given) = check(&[new, old], sent, client, 1_559_741_961);
        assert_eq!((shown, given), (Shown::Good, hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a")));
        assert_eq!(check(&[new], sent, client, 1_559_741_961).0, Shown::Bad, "once the old secret is gone");
    }

    #[test]
    fn rfc_7873_section_5_2_2_lengths() {
        for length in 0..80 {
            let is_read = Cookie::read(&vec![1; length]).is_some();
            assert_eq!(is_read, length == 8 || (16..=40).contains(&length), "{length} bytes");
        }
    }

    #[test]
    fn a_cookie_is_of_its_address_and_its_time() {
        let sent = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let made = 1_559_731_985;
        for (client, now, shown) in [
            ("198.51.100.100", made + 3600, Shown::Good),
            ("198.51.100.100", made + 3601, Shown::Bad),
            ("198.51.100.100", made - 300, Shown::Good),
            ("198.51.100.100", made - 301, Shown::Bad),
            ("198.51.100.101", made, Shown::Bad),
            ("::ffff:198.51.100.100", made, Shown::Bad),
        ] {
            assert_eq!(check(&[A], sent, client, now).0, shown, "{client} at {now}");
        }
    }

    #[test]
    fn without_a_secret_there_are_no_cookies() {
        let cookie = Cookie { client: [1; 8], server: Server::None };
        assert_eq!(Secrets::default().check(&cookie, "192.0.2.1".parse().unwrap(), UnixTime(0)), None);
        assert!(Secret::parse(b"e5e973e5a6b2a43f48e7dc849e37bfc").is_none());
        assert!(Secret::parse(b"g5e973e5a6b2a43f48e7dc849e37bfcf").is_none());
        assert_eq!(format!("{:?}", secret(A)), "Secret");
    }

    proptest! {
        #[test]
        fn what_is_given_is_good_and_one_changed_bit_makes_it_bad(
            key in any::<[u8; 16]>(),
            client in any::<[u8; 8]>(),
            address in any::<u32>(),
            now in any::<u32>(),
            bit in 0..192_usize,
        ) {
            let secrets = Secrets::new([Secret(key)]);
            let (address, now) = (IpAddr::from(address.to_be_bytes()), UnixTime(now.into()));
            let (_, given) = secrets.check(&Cookie { client, server: Server::None }, address, now).unwrap();
            let sent = Cookie::read(&given).unwrap();
            prop_assert_eq!(secrets.check(&sent, address, now), Some((Shown::Good, given)));
            let mut forged = given;
            forged[bit / 8] ^= 1 << (bit % 8);
            let (shown, _) = secrets.check(&Cookie::read(&forged).unwrap(), address, now).unwrap();
            prop_assert_eq!(shown, Shown::Bad);
        }
    }
}
