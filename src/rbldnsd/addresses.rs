//! The addresses of `-b address[/port]`, or those of sockets that the service manager opened.
//!
//! Invariant: a name stands for all its addresses of the wanted kind, and one that stands for none is an error.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::os::fd::RawFd;

use nix::sys::socket::{SockaddrStorage, getsockname};

use super::options::Family;

/// Where to listen cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddressError {
    #[error("no address to listen on (-b option) specified")]
    None,
    #[error("missing host part in bind address `{0}'")]
    NoHost(String),
    #[error("{0}: no such service: write the number of the port")]
    Service(String),
    #[error("{0}: {1}")]
    Unknown(String, io::Error),
    #[error("{0}: no address of the kind that -4 or -6 asks for")]
    Family(String),
    #[error("too many addresses to listen on ({0} max)")]
    TooMany(usize),
}

/// All addresses to listen on, each once.
pub(super) fn addresses(bind: &[String], family: Option<Family>) -> Result<Vec<SocketAddr>, AddressError> {
    let mut all = Vec::new();
    for text in bind {
        for address in resolve(text, family)? {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    if bind.is_empty() {
        all = inherited();
    }
    match all.len() {
        0 => Err(AddressError::None),
        1..=MAX_SOCKETS => Ok(all),
        _ => Err(AddressError::TooMany(MAX_SOCKETS)),
    }
}

fn resolve(text: &str, family: Option<Family>) -> Result<Vec<SocketAddr>, AddressError> {
    let (host, service) = text.split_once('/').unwrap_or((text, DEFAULT_SERVICE));
    if host.is_empty() {
        return Err(AddressError::NoHost(text.to_owned()));
    }
    let port = match service.parse() {
        Ok(port) => port,
        Err(_) => port_of(service).ok_or_else(|| AddressError::Service(text.to_owned()))?,
    };
    let found = (host, port).to_socket_addrs().map_err(|why| AddressError::Unknown(text.to_owned(), why))?;
    let is_wanted = |address: &SocketAddr| match family {
        None => true,
        Some(Family::Ip4) => address.is_ipv4(),
        Some(Family::Ip6) => address.is_ipv6(),
    };
    let found: Vec<SocketAddr> = found.filter(is_wanted).collect();
    if found.is_empty() { Err(AddressError::Family(text.to_owned())) } else { Ok(found) }
}

/// The UDP port of a service by services(5).
fn port_of(service: &str) -> Option<u16> {
    if service == DEFAULT_SERVICE {
        return Some(DNS_PORT);
    }
    let services = std::fs::read_to_string(SERVICES).ok()?;
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (name, port) = (words.next()?, words.next()?.strip_suffix("/udp")?);
        (name == service || words.any(|alias| alias == service)).then(|| port.parse().ok())?
    })
}

/// Where the sockets are that a service manager opened for this process (sd_listen_fds(3)).
fn inherited() -> Vec<SocketAddr> {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(MAX_INHERITED);
    let mut all = Vec::new();
    for descriptor in FIRST_INHERITED..FIRST_INHERITED + count as RawFd {
        let Ok(name) = getsockname::<SockaddrStorage>(descriptor) else { continue };
        let ip4 = name.as_sockaddr_in().map(|&address| SocketAddr::V4(SocketAddrV4::from(address)));
        let ip6 = name.as_sockaddr_in6().map(|&address| SocketAddr::V6(SocketAddrV6::from(address)));
        if let Some(address) = ip4.or(ip6)
            && !all.contains(&address)
        {
            all.push(address);
        }
    }
    all
}

/// rbldnsd's limit.
const MAX_SOCKETS: usize = 20;
/// More descriptors are not looked at: a UDP and a TCP socket for each address.
const MAX_INHERITED: u32 = 2 * MAX_SOCKETS as u32;
/// The first descriptor of a service manager.
const FIRST_INHERITED: RawFd = 3;
const DNS_PORT: u16 = 53;
const DEFAULT_SERVICE: &str = "domain";
const SERVICES: &str = "/etc/services";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, family: Option<Family>) -> Result<Vec<String>, String> {
        let found = addresses(&[text.to_owned()], family);
        found.map(|all| all.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_with_and_without_ports() {
        assert_eq!(read("127.0.0.1", None).unwrap(), ["127.0.0.1:53"]);
        assert_eq!(read("127.0.0.1/5300", Some(Family::Ip4)).unwrap(), ["127.0.0.1:5300"]);
        assert_eq!(read("::1/domain", None).unwrap(), ["[::1]:53"]);
        assert_eq!(read("/5300", None).unwrap_err(), "missing host part in bind address `/5300'");
        assert!(read("127.0.0.1/5300/", None).unwrap_err().contains("no such service"));
        assert!(read("127.0.0.1", Some(Family::Ip6)).unwrap_err().contains("-4 or -6"));
        assert_eq!(addresses(&[], None).unwrap_err().to_string(), "no address to listen on (-b option) specified");
    }

    #[test]
    fn one_address_is_bound_once() {
        let twice = ["127.0.0.1/1".to_owned(), "127.0.0.1/1".to_owned()];
        assert_eq!(addresses(&twice, None).unwrap().len(), 1);
    }
}
