//! The vocabulary of DNS lists (RFC 5782): names, subjects, test entries.
//!
//! A mail server asks about an address by writing it backwards in front of a zone's apex, about a domain by writing
//! it there as it is. This room turns such names into what they ask about, and back. It imports nothing of ours and
//! knows neither lists nor zones.

pub mod key;
pub mod name;
pub mod number;
pub mod subject;
pub mod url;

pub use key::{Alphabet, HashKind, Key, KeyShape};
pub use name::{Labels, Name, QueryName};
pub use subject::{Block4, Block6, Subject};
