//! Placeholder.
/// Placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Recognised by the first bytes.
    Detect,
    /// Bytes are taken as they are.
    Off,
}
/// Placeholder.
pub struct Lines;
