//! What can be wrong between a list and who asks it: what it means, and what resolvers are told against it.
//!
//! How to find a list's server, and how to let unsigned zones and addresses of 127.0.0.0/8 through, stands in
//! `docs/resolvers.md` too, where it is tested with the resolvers; a test here holds the two together.

use super::super::ask::Reply;
use crate::dnsxl::Name;

/// Something that breaks a list behind a resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// The resolver does not know where the zone is.
    NotFound,
    /// It knows, and gets nothing from there.
    NotReached,
    /// It does not want to answer this client, or this zone.
    Refused,
    /// Listings come through, and the zone's own SOA does not.
    NoApex,
    /// It validates, and the zone has no signatures below a signed parent.
    Island,
    /// It takes addresses of 127.0.0.0/8 out of answers.
    Rebinding,
    /// Names with listings below are said not to exist.
    Ancestors,
    /// The server lists the test entry, and the resolver does not.
    Lost,
    /// Nobody lists a test entry.
    NoEntry,
    /// Somebody makes up answers for names that do not exist.
    Invented,
    /// What no list may list is listed.
    ListsAll,
    /// What is not listed exists.
    NoNxdomain,
    /// The list tells the client off.
    RefusedByList,
    /// The resolver is one of those that everybody uses.
    PublicResolver,
    /// No answers over TCP.
    NoTcp,
    /// Texts come short, and do not say so.
    CutText,
    /// Letters in capitals make a difference.
    Case,
    /// AAAA of what is listed is denied.
    Aaaa,
    /// Denials say nothing of how long they hold.
    NoSoa,
    /// Denials hold too long, or not at all.
    NegativeTtl,
}

impl Trouble {
    /// What it means for who asks.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::NotFound => {
                "the resolver does not know the zone: it is not delegated, and the resolver not told of its server"
            }
            Self::NotReached => "the resolver gets no answer from the list's server: nothing is ever listed",
            Self::Refused => "the resolver does not answer this client, or not for this zone: nothing is ever listed",
            Self::NoApex => {
                "the zone has listings and no SOA: denials cannot be kept (RFC 2308), so that each mail asks again"
            }
            Self::Island => {
                "the resolver validates, and the zone is unsigned below a signed parent that does not delegate it"
            }
            Self::Rebinding => {
                "the resolver takes addresses in 127.0.0.0/8 out of answers (protection against rebinding): nothing is \
                 ever listed"
            }
            Self::Ancestors => {
                "a name above a listing does not exist (RFC 8020): resolvers that minimise what they ask (RFC 9156) \
                 find no listing"
            }
            Self::Lost => "the list's server lists it, and the resolver does not pass it on",
            Self::NoEntry => {
                "nothing tells whether listings get through: the zone has no test entries (RFC 5782, section 5), wants \
                 a key (--key-file), or all are lost on the way; name the list's server with --server to know which"
            }
            Self::Invented => {
                "somebody answers with an address of their own for what does not exist: everything is listed"
            }
            Self::ListsAll => {
                "what no list may list is listed (RFC 5782, section 5): the list has ended, or lists everything"
            }
            Self::NoNxdomain => "what is not listed exists without data: clients that tell the two apart drop the list",
            Self::RefusedByList => {
                "the list refuses whoever asks, and nothing is listed: 127.255.255.252 says that the key or zone is wrong, \
                 .254 that it is not for this client or resolver, or wants a key (--key-file), .255 that it was asked too \
                 often; 127.0.0.1, SERVFAIL and REFUSED any of these"
            }
            Self::PublicResolver => {
                "lists refuse or mislead public resolvers, which many ask: run a resolver of your own"
            }
            Self::NoTcp => "answers that do not fit 512 bytes are lost: those with several reasons",
            Self::CutText => "reasons get lost on the way: who is rejected is not told why",
            Self::Case => {
                "names in mixed case are not answered as they were asked: resolvers with 0x20 drop such answers"
            }
            Self::Aaaa => {
                "a listed name has no AAAA record, and that must not be an error: who asks for both finds nothing"
            }
            Self::NoSoa => "denials come without SOA (RFC 2308): nobody may keep them, and each mail asks again",
            Self::NegativeTtl => {
                "denials should hold a minute to an hour: mail asks again each time, or new listings come late"
            }
        }
    }

    /// What to tell the resolvers that one meets, each with its name.
    pub(super) fn mend(self, zone: &Name) -> Vec<(&'static str, String)> {
        let stub = || {
            vec![
                ("unbound", format!("stub-zone: name: \"{zone}\" stub-addr: 192.0.2.53@53")),
                ("BIND", format!("zone \"{zone}\" {{ type static-stub; server-addresses {{ 192.0.2.53; }}; }};")),
                (
                    "Knot",
                    format!("policy.add(policy.suffix(policy.STUB('192.0.2.53@53'), policy.todnames({{'{zone}'}})))"),
                ),
                ("PowerDNS", format!("forward-zones={zone}=192.0.2.53:53")),
                ("dnsmasq", format!("server=/{zone}/192.0.2.53#53")),
            ]
        };
        match self {
            Self::NotFound | Self::NotReached | Self::Lost => stub(),
            Self::Refused => vec![
                ("unbound", "server: access-control: 192.0.2.0/24 allow".to_owned()),
                ("BIND", "allow-recursion { 192.0.2.0/24; };".to_owned()),
                ("Knot", "view:addr('192.0.2.0/24', policy.all(policy.PASS))".to_owned()),
                ("PowerDNS", "allow-from=192.0.2.0/24".to_owned()),
                ("dnsmasq", format!("server=/{zone}/192.0.2.53#53")),
            ],
            Self::Island => vec![
                ("unbound", format!("server: domain-insecure: \"{zone}\"")),
                ("BIND", format!("validate-except {{ \"{zone}\"; }};")),
                ("Knot", format!("trust_anchors.set_insecure({{'{zone}'}})")),
                ("PowerDNS", format!("addNTA(\"{zone}\", \"unsigned list\")")),
                ("dnsmasq", "no dnssec-check-unsigned, or no dnssec".to_owned()),
            ],
            Self::Rebinding => vec![
                ("unbound", format!("server: private-domain: \"{zone}\"")),
                ("BIND", format!("deny-answer-addresses {{ 127.0.0.0/8; }} except-from {{ \"{zone}\"; }};")),
                (
                    "Knot",
                    format!("policy.add(policy.suffix(policy.FLAGS('ALLOW_LOCAL'), policy.todnames({{'{zone}'}})))"),
                ),
                ("PowerDNS", "no such filter of its own: look for one in lua-dns-script and RPZ".to_owned()),
                ("dnsmasq", format!("rebind-domain-ok=/{zone}/")),
            ],
            Self::Ancestors => vec![
                ("the list", "a server with empty non-terminals, as infamy is".to_owned()),
                ("unbound", "server: qname-minimisation-strict: no".to_owned()),
                ("BIND", "qname-minimization relaxed;".to_owned()),
                ("PowerDNS", "qname-minimization=no".to_owned()),
                ("Knot", "policy.add(policy.all(policy.FLAGS('NO_MINIMIZE')))".to_owned()),
            ],
            Self::NoTcp => {
                vec![("all", "open TCP port 53, to the resolver and from it to the list's server".to_owned())]
            }
            Self::NegativeTtl => vec![
                ("the list", "minimum of the zone's SOA: 60 to 3600".to_owned()),
                ("unbound", "server: cache-max-negative-ttl: 3600".to_owned()),
                ("BIND", "max-ncache-ttl 3600;".to_owned()),
                ("Knot", "cache.max_ttl(3600)".to_owned()),
                ("PowerDNS", "max-negative-ttl=3600".to_owned()),
            ],
            Self::Invented | Self::PublicResolver | Self::RefusedByList => {
                vec![("all", "run a resolver of your own, without forwarders, beside the mail server".to_owned())]
            }
            Self::CutText | Self::Case | Self::Aaaa | Self::NoSoa => {
                vec![(
                    "all",
                    "what stands between resolver and list alters answers: ask the list's server itself".to_owned(),
                )]
            }
            Self::NoApex => {
                vec![("the list", "an SOA of the zone: $SOA in rbldnsd's files, soa in infamy's".to_owned())]
            }
            Self::NoEntry => {
                vec![("the list", "test-entries = true, in infamy's configuration of the zone".to_owned())]
            }
            Self::ListsAll => vec![("all", "do not use the list any more".to_owned())],
            Self::NoNxdomain => vec![("the list", "no compact denial of existence (RFC 9824)".to_owned())],
        }
    }
}

/// What a list tells those whom it does not serve: 127.0.0.1 where values are bits, else a code of its own.
pub(super) fn is_refusal(reply: &Reply) -> bool {
    reply.addresses().any(|address| matches!(address.octets(), [127, 0, 0, 1] | [127, 255, 255, _]))
}
