//! What a zone is: an apex over ordered datasets.

/// Seconds since 1970-01-01T00:00:00Z. The core takes the time as an argument and never reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub i64);
