//! The never-list: what no list may list, whoever wrote it there.
//!
//! RFC 6471, section 3.5 asks for a facility against listing special-use addresses; RFC 5782, section 5 forbids
//! 127.0.0.1, ::FFFF:7F00:1 and INVALID. Root and public resolvers are here because a mail server that refuses them
//! refuses the DNS itself. The test entries 127.0.0.2 to 127.0.0.255 may be listed, one by one.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::dnsxl::Name;

/// Addresses and names that are cut out of every dataset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NeverList {
    ip4: Vec<Range<u32>>,
    /// A bit for each first octet that any of them has an address of: most lines of a list are done with it.
    octets: [u64; 4],
    ip6: Vec<Range<u128>>,
    names: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq)]
struct Range<T> {
    first: T,
    last: T,
    what: String,
}

impl NeverList {
    /// The list without anything: data is served as it is written.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Loopback, private and special-use ranges, root servers and public resolvers, and `own` besides.
    pub fn with_own(own: &[IpNet]) -> Self {
        let built_in =
            BUILT_IN_4.iter().map(|&(net, what)| (net, what)).chain(BUILT_IN_6.iter().map(|&(net, what)| (net, what)));
        let parsed = built_in.map(|(net, what)| {
            let net = net.parse::<IpNet>().or_else(|_| net.parse::<std::net::IpAddr>().map(IpNet::from));
            (net.expect("the built-in ranges are written rightly"), what)
        });
        let mut list = Self { names: vec![Name::parse(b"invalid").expect("a label is a name")], ..Self::default() };
        for (net, what) in parsed.chain(own.iter().map(|&net| (net, "the operator's own"))) {
            list.push(net, what);
        }
        list.ip4 = merged(list.ip4);
        for range in &list.ip4 {
            for octet in range.first >> 24..=range.last >> 24 {
                list.octets[octet as usize / 64] |= 1 << (octet % 64);
            }
        }
        list.ip6 = merged(list.ip6);
        list
    }

    fn push(&mut self, net: IpNet, what: &str) {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                self.ip4.push(Range { first, last, what: what.to_owned() });
                let (first, last) = (mapped(first), mapped(last));
                self.ip6.push(Range { first, last, what: what.to_owned() });
            }
            IpNet::V6(net) => {
                let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
                self.ip6.push(Range { first, last, what: what.to_owned() });
            }
        }
    }

    /// What the range is of which all these addresses are, if they may not be listed.
    pub fn forbids_ip4(&self, first: u32, last: u32) -> Option<&str> {
        let octet = first >> 24;
        if self.octets[octet as usize / 64] >> (octet % 64) & 1 == 0 || first == last && is_test_entry(first) {
            return None;
        }
        covering(&self.ip4, first, last)
    }

    /// As [`Self::forbids_ip4`], for IPv6.
    pub fn forbids_ip6(&self, first: u128, last: u128) -> Option<&str> {
        if first == last && is_mapped_test_entry(first) {
            return None;
        }
        covering(&self.ip6, first, last)
    }

    /// Whether the name may not be listed.
    pub fn forbids_name(&self, wire: &[u8]) -> bool {
        self.names.iter().any(|name| name.as_wire() == wire)
    }

    /// The IPv4 ranges, sorted and disjoint.
    pub fn ip4(&self) -> Vec<(u32, u32)> {
        self.ip4.iter().map(|range| (range.first, range.last)).collect()
    }

    /// The IPv6 ranges, sorted and disjoint.
    pub fn ip6(&self) -> Vec<(u128, u128)> {
        self.ip6.iter().map(|range| (range.first, range.last)).collect()
    }

    /// The names.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Whether there is nothing on it.
    pub fn is_empty(&self) -> bool {
        self.ip4.is_empty() && self.ip6.is_empty() && self.names.is_empty()
    }
}

fn covering<T: Ord>(ranges: &[Range<T>], first: T, last: T) -> Option<&str> {
    let index = ranges.partition_point(|range| range.first <= first).checked_sub(1)?;
    let range = &ranges[index];
    (last <= range.last).then_some(&*range.what)
}

/// Sorted, and ranges that overlap joined under the first one's name.
fn merged<T: Ord + Copy>(mut ranges: Vec<Range<T>>) -> Vec<Range<T>> {
    ranges.sort_by_key(|range| range.first);
    let mut out: Vec<Range<T>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(before) if range.first <= before.last => before.last = before.last.max(range.last),
            _ => out.push(range),
        }
    }
    out
}

/// Whether the address is one that a list may hold to be tested by (RFC 5782, section 5).
pub fn is_test_entry(address: u32) -> bool {
    let octets = address.to_be_bytes();
    octets[..3] == [127, 0, 0] && octets[3] >= 2
}

/// Whether the address is [`is_test_entry`] mapped into IPv6.
pub fn is_mapped_test_entry(address: u128) -> bool {
    address >> 32 == 0xffff && is_test_entry(address as u32)
}

fn mapped(address: u32) -> u128 {
    u128::from(Ipv4Addr::from(address).to_ipv6_mapped())
}

/// The text form of an IPv4 range: an address, a prefix, or both ends.
pub fn range4_text(first: u32, last: u32) -> String {
    let (first, last) = (Ipv4Addr::from(first), Ipv4Addr::from(last));
    let mut nets = ipnet::Ipv4Subnets::new(first, last, 0);
    match (nets.next(), nets.next()) {
        _ if first == last => first.to_string(),
        (Some(net), None) => net.to_string(),
        _ => format!("{first}-{last}"),
    }
}

/// The text form of an IPv6 range: an address, a prefix, or both ends.
pub fn range6_text(first: u128, last: u128) -> String {
    let (first, last) = (Ipv6Addr::from(first), Ipv6Addr::from(last));
    let mut nets = ipnet::Ipv6Subnets::new(first, last, 0);
    match (nets.next(), nets.next()) {
        _ if first == last => first.to_string(),
        (Some(net), None) => net.to_string(),
        _ => format!("{first}-{last}"),
    }
}

/// The text form of an IPv6 prefix.
pub fn prefix6_text(bits: u128, length: u8) -> String {
    Ipv6Net::new(Ipv6Addr::from(bits), length).map_or_else(|_| Ipv6Addr::from(bits).to_string(), |net| net.to_string())
}

/// The text form of an IPv4 prefix.
pub fn prefix4_text(bits: u32, length: u8) -> String {
    Ipv4Net::new(Ipv4Addr::from(bits), length).map_or_else(|_| Ipv4Addr::from(bits).to_string(), |net| net.to_string())
}

const BUILT_IN_4: &[(&str, &str)] = &[
    // of the prefixes of IANA's registry of special addresses (RFC 6890) those that no mail and no query comes from;
    // those for documentation and benchmarks are not here, as examples are made of them
    ("0.0.0.0/8", "\"this network\" (RFC 791)"),
    ("10.0.0.0/8", "private (RFC 1918)"),
    ("100.64.0.0/10", "shared address space (RFC 6598)"),
    ("127.0.0.0/8", "loopback (RFC 1122)"),
    ("169.254.0.0/16", "link-local (RFC 3927)"),
    ("172.16.0.0/12", "private (RFC 1918)"),
    ("192.0.0.0/24", "IETF protocol assignments (RFC 6890)"),
    ("192.168.0.0/16", "private (RFC 1918)"),
    ("224.0.0.0/3", "multicast and reserved (RFC 5771, RFC 1112)"),
    // the hints that IANA publishes as named.root
    ("198.41.0.4", "root server a"),
    ("170.247.170.2", "root server b"),
    ("192.33.4.12", "root server c"),
    ("199.7.91.13", "root server d"),
    ("192.203.230.10", "root server e"),
    ("192.5.5.241", "root server f"),
    ("192.112.36.4", "root server g"),
    ("198.97.190.53", "root server h"),
    ("192.36.148.17", "root server i"),
    ("192.58.128.30", "root server j"),
    ("193.0.14.129", "root server k"),
    ("199.7.83.42", "root server l"),
    ("202.12.27.33", "root server m"),
    // the addresses that each operator gives for its service, filtering ones included
    ("1.0.0.1", "public resolver (Cloudflare)"),
    ("1.0.0.2", "public resolver (Cloudflare)"),
    ("1.0.0.3", "public resolver (Cloudflare)"),
    ("1.1.1.1", "public resolver (Cloudflare)"),
    ("1.1.1.2", "public resolver (Cloudflare)"),
    ("1.1.1.3", "public resolver (Cloudflare)"),
    ("4.2.2.1", "public resolver (Lumen)"),
    ("4.2.2.2", "public resolver (Lumen)"),
    ("4.2.2.3", "public resolver (Lumen)"),
    ("4.2.2.4", "public resolver (Lumen)"),
    ("8.8.4.4", "public resolver (Google)"),
    ("8.8.8.8", "public resolver (Google)"),
    ("9.9.9.9", "public resolver (Quad9)"),
    ("9.9.9.10", "public resolver (Quad9)"),
    ("9.9.9.11", "public resolver (Quad9)"),
    ("64.6.64.6", "public resolver (Vercara)"),
    ("64.6.65.6", "public resolver (Vercara)"),
    ("76.76.2.0", "public resolver (Control D)"),
    ("76.76.10.0", "public resolver (Control D)"),
    ("77.88.8.1", "public resolver (Yandex)"),
    ("77.88.8.8", "public resolver (Yandex)"),
    ("94.140.14.14", "public resolver (AdGuard)"),
    ("94.140.15.15", "public resolver (AdGuard)"),
    ("149.112.112.9", "public resolver (Quad9)"),
    ("149.112.112.10", "public resolver (Quad9)"),
    ("149.112.112.11", "public resolver (Quad9)"),
    ("149.112.112.112", "public resolver (Quad9)"),
    ("185.222.222.222", "public resolver (DNS.SB)"),
    ("45.11.45.11", "public resolver (DNS.SB)"),
    ("208.67.220.123", "public resolver (OpenDNS)"),
    ("208.67.220.220", "public resolver (OpenDNS)"),
    ("208.67.222.123", "public resolver (OpenDNS)"),
    ("208.67.222.222", "public resolver (OpenDNS)"),
    ("223.5.5.5", "public resolver (AliDNS)"),
    ("223.6.6.6", "public resolver (AliDNS)"),
    ("119.29.29.29", "public resolver (DNSPod)"),
    ("114.114.114.114", "public resolver (114DNS)"),
    ("114.114.115.115", "public resolver (114DNS)"),
];

const BUILT_IN_6: &[(&str, &str)] = &[
    ("::/127", "unspecified and loopback (RFC 4291)"),
    ("100::/64", "discard-only (RFC 6666)"),
    ("fc00::/7", "unique local (RFC 4193)"),
    ("fe80::/10", "link-local (RFC 4291)"),
    ("ff00::/8", "multicast (RFC 4291)"),
    ("2001:503:ba3e::2:30", "root server a"),
    ("2801:1b8:10::b", "root server b"),
    ("2001:500:2::c", "root server c"),
    ("2001:500:2d::d", "root server d"),
    ("2001:500:a8::e", "root server e"),
    ("2001:500:2f::f", "root server f"),
    ("2001:500:12::d0d", "root server g"),
    ("2001:500:1::53", "root server h"),
    ("2001:7fe::53", "root server i"),
    ("2001:503:c27::2:30", "root server j"),
    ("2001:7fd::1", "root server k"),
    ("2001:500:9f::42", "root server l"),
    ("2001:dc3::35", "root server m"),
    ("2606:4700:4700::1001", "public resolver (Cloudflare)"),
    ("2606:4700:4700::1002", "public resolver (Cloudflare)"),
    ("2606:4700:4700::1003", "public resolver (Cloudflare)"),
    ("2606:4700:4700::1111", "public resolver (Cloudflare)"),
    ("2606:4700:4700::1112", "public resolver (Cloudflare)"),
    ("2606:4700:4700::1113", "public resolver (Cloudflare)"),
    ("2001:4860:4860::8844", "public resolver (Google)"),
    ("2001:4860:4860::8888", "public resolver (Google)"),
    ("2620:fe::9", "public resolver (Quad9)"),
    ("2620:fe::10", "public resolver (Quad9)"),
    ("2620:fe::11", "public resolver (Quad9)"),
    ("2620:fe::fe:9", "public resolver (Quad9)"),
    ("2620:fe::fe:10", "public resolver (Quad9)"),
    ("2620:fe::fe:11", "public resolver (Quad9)"),
    ("2620:fe::fe", "public resolver (Quad9)"),
    ("2620:119:35::35", "public resolver (OpenDNS)"),
    ("2620:119:53::53", "public resolver (OpenDNS)"),
    ("2a10:50c0::ad1:ff", "public resolver (AdGuard)"),
    ("2a10:50c0::ad2:ff", "public resolver (AdGuard)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(list: &NeverList, net: &str) -> bool {
        match net.parse::<IpNet>().unwrap() {
            IpNet::V4(net) => list.forbids_ip4(net.network().into(), net.broadcast().into()).is_some(),
            IpNet::V6(net) => list.forbids_ip6(net.network().into(), net.broadcast().into()).is_some(),
        }
    }

    #[test]
    fn special_ranges_are_forbidden_and_test_entries_are_not() {
        let list = NeverList::with_own(&["203.0.113.0/28".parse().unwrap()]);
        for net in [
            "127.0.0.1/32",
            "127.0.0.0/8",
            "10.1.0.0/16",
            "240.0.0.0/8",
            "1.0.0.1/32",
            "9.9.9.10/32",
            "2620:fe::fe/128",
            "203.0.113.7/32",
            "::1/128",
            "::ffff:10.0.0.1/128",
        ] {
            assert!(forbidden(&list, net), "{net}");
        }
        for net in
            ["127.0.0.2/32", "::ffff:127.0.0.2/128", "0.0.0.0/0", "203.0.113.0/24", "2001:db8::/32", "192.0.2.1/32"]
        {
            assert!(!forbidden(&list, net), "{net}");
        }
        assert!(list.forbids_name(b"\x07invalid"));
        assert!(NeverList::empty().forbids_ip4(0x7f00_0001, 0x7f00_0001).is_none());
    }

    #[test]
    fn ranges_are_sorted_and_disjoint() {
        let list = NeverList::with_own(&["10.0.0.0/9".parse().unwrap(), "1.0.0.0/24".parse().unwrap()]);
        assert!(list.ip4().windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert!(list.ip6().windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn ranges_are_written_as_prefixes_where_they_are_one() {
        assert_eq!(range4_text(0xc000_0200, 0xc000_02ff), "192.0.2.0/24");
        assert_eq!(range4_text(0xc000_0201, 0xc000_02ff), "192.0.2.1-192.0.2.255");
        assert_eq!(range4_text(0xc000_0201, 0xc000_0201), "192.0.2.1");
    }
}
