//! Addresses of both families as numbers, so that prefixes are written once.

use crate::dnsxl::subject::{mask4, mask6};

/// An address as a number of `WIDTH` bits.
pub trait Bits: Copy + Ord + std::hash::Hash + std::fmt::Debug + 'static {
    /// How many bits an address has.
    const WIDTH: u8;

    /// The address with the bits past a prefix length cleared.
    fn masked(self, length: u8) -> Self;
    /// The last address of the prefix of this length that has this address.
    fn last_of(self, length: u8) -> Self;
    /// The first 16 bits.
    fn top(self) -> u16;
    /// The number of zero bits at the end.
    fn trailing_zeros(self) -> u8;
    /// The next address.
    fn successor(self) -> Option<Self>;
    /// The address before.
    fn predecessor(self) -> Option<Self>;
}

impl Bits for u32 {
    const WIDTH: u8 = 32;

    fn masked(self, length: u8) -> Self {
        self & mask4(length)
    }

    fn last_of(self, length: u8) -> Self {
        self | !mask4(length)
    }

    fn top(self) -> u16 {
        (self >> 16) as u16
    }

    fn trailing_zeros(self) -> u8 {
        self.trailing_zeros() as u8
    }

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn predecessor(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Bits for u128 {
    const WIDTH: u8 = 128;

    fn masked(self, length: u8) -> Self {
        self & mask6(length)
    }

    fn last_of(self, length: u8) -> Self {
        self | !mask6(length)
    }

    fn top(self) -> u16 {
        (self >> 112) as u16
    }

    fn trailing_zeros(self) -> u8 {
        self.trailing_zeros() as u8
    }

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn predecessor(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// The prefixes that the addresses from `first` to `last` are made of: first addresses and lengths.
pub fn prefixes<A: Bits>(first: A, last: A) -> impl Iterator<Item = (A, u8)> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let bits = next.filter(|&bits| bits <= last)?;
        let mut length = A::WIDTH - bits.trailing_zeros().min(A::WIDTH);
        while bits.last_of(length) > last {
            length += 1;
        }
        next = bits.last_of(length).successor();
        Some((bits, length))
    })
}
