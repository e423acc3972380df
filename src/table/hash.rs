//! Hashes: digests that mail and URL lists publish in place of what they list, and their values.
//!
//! A digest is hashed once more, under a seed that is the sum of plain hashes of all digests, and its fingerprint is
//! kept with its value in [`super::bucket`] lines: 15.1 bytes a key, whatever the digest's own length, 18.9 if values
//! go beyond 65,535. Digests look evenly spread, and yet cutting one short would not do: whoever asks chooses the
//! digest, and could choose one that only begins as a listed one does.
//!
//! Invariant: equal content gives equal bytes. Should two fingerprints meet, the build starts over with another seed.
//!
//! All digests of a set are meant to have one length, which the caller knows; another length is simply not found. The
//! digests themselves are not kept, so a table cannot list them.

use siphasher::sip128::SipHasher13;
use zerocopy::little_endian::{U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::bucket::{BATCH, Buckets};
use super::file::{Compiled, Kind, Malformed, Place, Sections};
use super::{MAX_VALUES, ValueId};

/// The listed digests of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    seed: u128,
    buckets: Buckets,
    listed: u64,
}

impl Hashes {
    /// Builds from digests in any order, each of them once; values are not [`ValueId::NONE`]. They are read twice.
    pub fn build<'k, I: Iterator<Item = (&'k [u8], ValueId)> + Clone>(digests: I) -> Self {
        let (mut listed, mut largest, mut content) = (0, 0, 0_u128);
        for (digest, value) in digests.clone() {
            debug_assert!(value.is_listed() && value.0 <= MAX_VALUES);
            listed += 1;
            largest = largest.max(value.0);
            content = content.wrapping_add(SipHasher13::new().hash(digest).as_u128());
        }
        let mut attempt = 0;
        loop {
            let seed = content.wrapping_add(attempt);
            let mut buckets = Buckets::with_room(listed, largest);
            let mut distinct = true;
            let mut batch = Vec::with_capacity(BATCH);
            for (digest, value) in digests.clone() {
                batch.push((keyed(seed, digest), value.0));
                if batch.len() == BATCH {
                    distinct &= buckets.insert_all(&mut batch);
                }
            }
            distinct &= buckets.insert_all(&mut batch);
            attempt += 1;
            if distinct || attempt == MAX_SEEDS {
                return Self { seed, buckets, listed };
            }
        }
    }

    /// What is listed of a digest.
    pub fn find(&self, digest: &[u8]) -> ValueId {
        ValueId(self.buckets.find(keyed(self.seed, digest)).unwrap_or_default())
    }

    /// Asks for the line that a digest is going to be looked for in.
    pub fn prefetch(&self, digest: &[u8]) {
        self.buckets.prefetch(keyed(self.seed, digest));
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.listed == 0
    }

    /// The number of listed digests.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// Adds the sections of this structure.
    pub(crate) fn write<'s>(&'s self, place: Place, out: &mut Sections<'s>) {
        if !self.is_empty() {
            let wide = u32::from(self.buckets.is_wide()).into();
            out.element(place, Kind::HashesHead, Head { seed: self.seed.into(), listed: self.listed.into(), wide });
            self.buckets.write(place, Kind::HashesBuckets, out);
        }
    }

    /// Opens what [`Self::write`] wrote.
    pub(crate) fn open(file: &Compiled, place: Place) -> Result<Self, Malformed> {
        let Some(head) = file.element::<Head>(place, Kind::HashesHead)? else { return Ok(Self::default()) };
        let buckets = Buckets::open(file, place, Kind::HashesBuckets, head.wide.get() != 0)?;
        Ok(Self { seed: head.seed.get(), buckets, listed: head.listed.get() })
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.buckets.bytes()
    }
}

/// What the lines do not tell, in a compiled file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Head {
    seed: U128,
    listed: U64,
    wide: U32,
}

fn keyed(seed: u128, digest: &[u8]) -> u128 {
    SipHasher13::new_with_keys(seed as u64, (seed >> 64) as u64).hash(digest).as_u128()
}

/// Two fingerprints meet in one of 10^14 builds of 10^8 digests. After as many attempts a digest was named twice.
const MAX_SEEDS: u128 = 4;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn build(digests: &[(Vec<u8>, u32)]) -> Hashes {
        Hashes::build(digests.iter().map(|(digest, value)| (&**digest, ValueId(*value))))
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(
            listed: HashMap<[u8; 16], u32>,
            others: Vec<[u8; 16]>,
            wide: bool,
        ) {
            let mask = if wide { MAX_VALUES } else { 0xff };
            let mut digests: Vec<_> =
                listed.iter().map(|(digest, value)| (digest.to_vec(), (value & mask).max(1))).collect();
            let hashes = build(&digests);
            for (digest, value) in &digests {
                prop_assert_eq!(hashes.find(digest), ValueId(*value));
                prop_assert_eq!(hashes.find(&digest[..15]), ValueId::NONE);
            }
            for other in others {
                hashes.prefetch(&other);
                prop_assert_eq!(hashes.find(&other).is_listed(), listed.contains_key(&other));
            }
            prop_assert_eq!(hashes.listed(), listed.len() as u64);
            digests.sort();
            prop_assert_eq!(build(&digests), hashes);
        }
    }

    #[test]
    fn memory_does_not_depend_on_the_digest() {
        let digests: Vec<_> = (0_u32..100_000).map(|n| (n.to_le_bytes().repeat(16), n % 200 + 1)).collect();
        let hashes = build(&digests);
        assert!(digests.iter().all(|(digest, value)| hashes.find(digest) == ValueId(*value)));
        assert!(hashes.bytes() < 1_510_000, "{}", hashes.bytes());
    }

    #[test]
    fn empty_finds_nothing() {
        assert_eq!(Hashes::default().find(b"x"), ValueId::NONE);
        assert_eq!(build(&[]), Hashes::default());
    }
}
