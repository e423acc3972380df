//! What the log says once queries are answered: where, and how to try it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::unistd::Uid;

use super::super::selftest::{reversed4, reversed6};
use super::board::at;
use crate::dnsxl::Name;
use crate::http;
use crate::server::{Certificates, Running};
use crate::snapshot::Snapshot;
use crate::zone::{UnixTime, Zone};

/// Says where the server listens, and a question for every zone.
pub(super) fn say(running: &Running, snapshot: &Snapshot) {
    for address in running.addresses() {
        tracing::info!("listening on {address} (UDP and TCP)");
    }
    let encrypted = [
        (running.encrypted_addresses(), "TLS"),
        (running.https_addresses(), "HTTPS, /dns-query"),
        (running.quic_addresses(), "QUIC"),
    ];
    for (addresses, door) in encrypted {
        for address in addresses {
            tracing::info!("listening on {address} ({door})");
        }
    }
    let Some(&address) = running.addresses().first() else { return };
    for zone in snapshot.zones().iter().take(SHOWN_ZONES) {
        tracing::info!("try: {} {} SOA", dig(address), zone.apex);
        for name in test_names(zone) {
            tracing::info!("try: {} {name} TXT", dig(address));
        }
    }
    if Uid::effective().is_root() {
        tracing::warn!("serving as root: have `user` in [server] name an account; ports are opened before it is taken");
    }
    tracing::info!("ready");
}

/// Says which certificates have expired, or soon will: clients turn away then, and nothing else is to be seen of it.
pub(super) fn warn_of_expiry(certificates: &Certificates, now: UnixTime) {
    for state in certificates.states() {
        let Some(expires) = state.expires.filter(|expires| expires - now.0 < SOON) else { continue };
        let (door, end) = (state.door.label(), at(expires).0);
        match expires <= now.0 {
            true => tracing::warn!(door, "the certificate EXPIRED {end}: renew it and reload"),
            false => tracing::warn!(door, "the certificate expires {end}: renew it and reload"),
        }
    }
}

/// Says where the server can be told what to do.
pub(super) fn say_control(interface: Option<&http::Running>) {
    let Some(interface) = interface else { return };
    if let Some(path) = interface.socket() {
        tracing::info!("control on {}", path.display());
    }
    for address in interface.addresses() {
        tracing::info!("control on http://{address}/");
    }
    for address in interface.metrics_addresses() {
        tracing::info!("metrics on http://{address}/metrics");
    }
}

/// Says where the lookup page is.
pub(super) fn say_page(page: Option<&http::page::Running>) {
    for address in page.into_iter().flat_map(http::page::Running::addresses) {
        tracing::info!("page on http://{address}/");
    }
}

fn dig(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    match address.port() {
        53 => format!("dig @{ip}"),
        port => format!("dig @{ip} -p {port}"),
    }
}

/// Names of the zone that RFC 5782, section 5 has listed.
fn test_names(zone: &Zone) -> impl Iterator<Item = Name> {
    let mut names: Vec<Name> = Vec::new();
    for placed in &zone.placed {
        let holds = placed.part().holds;
        let test = match (holds.ip4, holds.ip6 && !placed.beside_ip4, holds.names) {
            (true, ..) => reversed4(Ipv4Addr::new(127, 0, 0, 2)),
            (_, true, _) => reversed6(Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped()),
            (.., true) => Name::parse(b"test").unwrap_or_default(),
            _ => continue,
        };
        // whose key it is asked with is the reader's to say
        let key = Name::parse(if zone.access.has_keys() { b"KEY" } else { b"." }).unwrap_or_default();
        let name = [&placed.under, &key, &zone.apex].into_iter().try_fold(test, |name, above| name.under(above));
        let name = name.unwrap_or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter()
}

/// How long before its end a certificate is warned of: renewals that are made by themselves are weeks ahead of it.
const SOON: i64 = 7 * 86_400;
/// A server of hundreds of zones should not begin with hundreds of lines.
const SHOWN_ZONES: usize = 10;
