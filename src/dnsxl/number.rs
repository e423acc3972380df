//! The record types and classes that answers turn on, by the numbers that IANA gave them.
//!
//! Any other number is as good (RFC 3597); it only has no name here.

/// An IPv4 address.
pub const TYPE_A: u16 = 1;
/// A name server.
pub const TYPE_NS: u16 = 2;
/// An alias.
pub const TYPE_CNAME: u16 = 5;
/// The start of a zone of authority.
pub const TYPE_SOA: u16 = 6;
/// Texts.
pub const TYPE_TXT: u16 = 16;
/// An IPv6 address.
pub const TYPE_AAAA: u16 = 28;
/// The digest of a signed zone's key, asked of its parent.
pub const TYPE_DS: u16 = 43;
/// What has changed in a zone.
pub const TYPE_IXFR: u16 = 251;
/// A whole zone.
pub const TYPE_AXFR: u16 = 252;
/// Whatever there is (RFC 8482).
pub const TYPE_ANY: u16 = 255;
/// The Internet.
pub const CLASS_IN: u16 = 1;
/// Chaosnet, today where servers are asked about themselves (RFC 4892).
pub const CLASS_CH: u16 = 3;
/// Any class.
pub const CLASS_ANY: u16 = 255;
