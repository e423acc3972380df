//! The keys of hash zones: a digest, or the beginning of one, spelt in a label.
//!
//! Lists of URLs, e-mail addresses and files are asked for by a hash. A key is the bits that the label's characters
//! give, in the alphabet's own bit order; the same bits come from a digest cut to that many. Invariant: bits of the
//! last byte that no character gives are zero, so two keys are equal if their bytes are.

use md5::Digest as _;

/// The keys of a hash zone: what is hashed how, and how the query's label spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyShape {
    /// The hash function.
    pub hash: HashKind,
    /// How bytes are spelt in a label.
    pub alphabet: Alphabet,
    /// How many characters of the spelling a label has; at most 63.
    pub characters: u8,
}

/// A hash function of list keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl HashKind {
    /// How many bytes a digest has.
    pub const fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// How a digest is spelt in a label; case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// Four bits a character.
    Hex,
    /// RFC 4648, section 6, without padding: five bits a character.
    Base32,
    /// z-base-32 in the bit order of rspamd: five bits a character, the lowest bits of the first byte first.
    ZBase32,
}

impl Alphabet {
    /// How many bits a character gives.
    const fn bits(self) -> usize {
        match self {
            Self::Hex => 4,
            Self::Base32 | Self::ZBase32 => 5,
        }
    }

    /// The value of a character in either case.
    fn value(self, character: u8) -> Option<u8> {
        let values = match self {
            Self::Hex => &HEX_VALUES,
            Self::Base32 => &BASE32_VALUES,
            Self::ZBase32 => &ZBASE32_VALUES,
        };
        Some(values[usize::from(character)]).filter(|&value| value != NO_VALUE)
    }
}

/// A key in memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    bytes: [u8; MAX_KEY],
    length: u8,
}

impl Key {
    /// The key's bytes; bits of the last one that are not the key's are zero.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl KeyShape {
    /// How many characters spell a whole digest.
    pub const fn whole(hash: HashKind, alphabet: Alphabet) -> usize {
        (hash.length() * 8).div_ceil(alphabet.bits())
    }

    /// Whether a label can have so many characters, and a digest gives so many.
    pub fn is_possible(self) -> bool {
        let characters = usize::from(self.characters);
        (1..=MAX_CHARACTERS.min(Self::whole(self.hash, self.alphabet))).contains(&characters)
    }

    /// The key of a subject: its hash, cut to what a label spells.
    pub fn hash(self, subject: &[u8]) -> Key {
        match self.hash {
            HashKind::Md5 => self.cut(&md5::Md5::digest(subject)),
            HashKind::Sha1 => self.cut(&sha1::Sha1::digest(subject)),
            HashKind::Sha256 => self.cut(&sha2::Sha256::digest(subject)),
        }
    }

    /// The leading bits of a digest that a label of this shape spells.
    pub fn cut(self, digest: &[u8]) -> Key {
        let mut key = self.empty();
        let length = usize::from(key.length);
        let given = digest.len().min(length);
        key.bytes[..given].copy_from_slice(&digest[..given]);
        let spare = length * 8 - self.bits();
        if spare > 0 {
            // the spare bits are the last ones of the alphabet's order
            key.bytes[length - 1] &= if self.alphabet == Alphabet::ZBase32 { 0xff >> spare } else { 0xff << spare };
        }
        key
    }

    /// Reads the label of a query, or the same spelling in a list: exactly as many characters as the shape says.
    pub fn read_label(self, label: &[u8]) -> Option<Key> {
        if label.len() != usize::from(self.characters) {
            return None;
        }
        let mut key = self.empty();
        self.read_characters(label, &mut key.bytes)?;
        Some(key)
    }

    /// Reads a whole digest as lists spell it: in hexadecimal, or in the shape's alphabet.
    pub fn read_digest(self, text: &[u8]) -> Option<Key> {
        let alphabet = if text.len() == Self::whole(self.hash, Alphabet::Hex) { Alphabet::Hex } else { self.alphabet };
        if text.len() != Self::whole(self.hash, alphabet) {
            return None;
        }
        let mut digest = [0; MAX_KEY];
        Self { alphabet, ..self }.read_characters(text, &mut digest)?;
        Some(self.cut(&digest[..self.hash.length()]))
    }

    /// Writes the label that asks for a key.
    pub fn write_label(self, key: &Key, label: &mut Vec<u8>) {
        let width = self.alphabet.bits();
        for index in 0..usize::from(self.characters) {
            let value = (0..width).fold(0, |value, bit| {
                let at = index * width + bit;
                let byte = key.bytes[at / 8];
                match self.alphabet {
                    Alphabet::ZBase32 => value | (byte >> (at % 8) & 1) << bit,
                    Alphabet::Hex | Alphabet::Base32 => value << 1 | byte >> (7 - at % 8) & 1,
                }
            });
            label.push(match self.alphabet {
                Alphabet::Hex => HEX[usize::from(value)],
                Alphabet::Base32 => BASE32[usize::from(value)],
                Alphabet::ZBase32 => ZBASE32[usize::from(value)],
            });
        }
    }

    fn bits(self) -> usize {
        usize::from(self.characters).min(MAX_CHARACTERS) * self.alphabet.bits()
    }

    fn empty(self) -> Key {
        Key { bytes: [0; MAX_KEY], length: self.bits().div_ceil(8) as u8 }
    }

    /// Fills `bytes` with the bits of the characters; they fit.
    fn read_characters(self, text: &[u8], bytes: &mut [u8; MAX_KEY]) -> Option<()> {
        if self.alphabet == Alphabet::Hex {
            return read_hex(text, bytes);
        }
        let width = self.alphabet.bits();
        let mut held: u16 = 0;
        let mut count = 0;
        let mut at = 0;
        for &character in text {
            let value = u16::from(self.alphabet.value(character)?);
            match self.alphabet {
                Alphabet::ZBase32 => held |= value << count,
                Alphabet::Hex | Alphabet::Base32 => held |= value << (16 - width - count),
            }
            count += width;
            if count >= 8 {
                if self.alphabet == Alphabet::ZBase32 {
                    bytes[at] = held as u8;
                    held >>= 8;
                } else {
                    bytes[at] = (held >> 8) as u8;
                    held <<= 8;
                }
                at += 1;
                count -= 8;
            }
        }
        if count > 0 {
            bytes[at] = if self.alphabet == Alphabet::ZBase32 { held as u8 } else { (held >> 8) as u8 };
        }
        Some(())
    }
}

/// Fills `bytes` with hexadecimal digits, the last one alone being the upper half of its byte; they fit.
fn read_hex(text: &[u8], bytes: &mut [u8; MAX_KEY]) -> Option<()> {
    let value = |character: u8| HEX_VALUES[usize::from(character)];
    let (pairs, last) = text.as_chunks::<2>();
    let mut all = 0;
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (value(high), value(low));
        // a digit's value has four bits, and what is no digit has all
        all |= high | low;
        *byte = high << 4 | low;
    }
    if let (&[high], Some(byte)) = (last, bytes.get_mut(pairs.len())) {
        all |= value(high);
        *byte = value(high) << 4;
    }
    (all < 16).then_some(())
}

/// RFC 1035, section 2.3.4: a label has at most so many bytes.
const MAX_CHARACTERS: usize = 63;
/// The bytes that 63 characters of five bits fill.
pub const MAX_KEY: usize = 40;
const HEX: &[u8] = b"0123456789abcdef";
const BASE32: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const ZBASE32: &[u8] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
const HEX_VALUES: [u8; 256] = values(HEX);
const BASE32_VALUES: [u8; 256] = values(BASE32);
const ZBASE32_VALUES: [u8; 256] = values(ZBASE32);
/// Marks a byte that is no character of an alphabet.
const NO_VALUE: u8 = 0xff;

/// For each byte its place in `symbols`, in either case.
const fn values(symbols: &[u8]) -> [u8; 256] {
    let mut values = [NO_VALUE; 256];
    let mut at = 0;
    while at < symbols.len() {
        values[symbols[at] as usize] = at as u8;
        values[symbols[at].to_ascii_uppercase() as usize] = at as u8;
        at += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(hash: HashKind, alphabet: Alphabet, characters: u8) -> KeyShape {
        KeyShape { hash, alphabet, characters }
    }

    fn spelt(shape: KeyShape, subject: &[u8]) -> String {
        let mut label = Vec::new();
        shape.write_label(&shape.hash(subject), &mut label);
        String::from_utf8(label).unwrap()
    }

    #[test]
    fn digests_are_spelt_as_others_spell_them() {
        let sha1 = shape(HashKind::Sha1, Alphabet::Hex, 40);
        assert_eq!(spelt(sha1, b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let md5 = shape(HashKind::Md5, Alphabet::Hex, 32);
        assert_eq!(spelt(md5, b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        let base32 = shape(HashKind::Sha1, Alphabet::Base32, 32);
        assert_eq!(spelt(base32, b"abc"), "vgmt4nsha2awvor6evyxqugcnsonbwe5");
    }

    /// `em3ags7p` is what rspamd's `encode_base32` makes of `hello`.
    #[test]
    fn z_base_32_takes_the_lowest_bits_first() {
        let z = shape(HashKind::Sha256, Alphabet::ZBase32, 8);
        let mut label = Vec::new();
        z.write_label(&z.cut(b"hello"), &mut label);
        assert_eq!(label, b"em3ags7p");
        assert_eq!(z.read_label(b"EM3AGS7P").unwrap().as_bytes(), b"hello");
    }

    #[test]
    fn a_label_and_a_digest_give_the_same_key() {
        for hash in [HashKind::Md5, HashKind::Sha1, HashKind::Sha256] {
            for alphabet in [Alphabet::Hex, Alphabet::Base32, Alphabet::ZBase32] {
                for characters in 1..=KeyShape::whole(hash, alphabet).min(63) as u8 {
                    let shape = shape(hash, alphabet, characters);
                    assert!(shape.is_possible());
                    let key = shape.hash(b"some subject");
                    let mut label = Vec::new();
                    shape.write_label(&key, &mut label);
                    assert_eq!(shape.read_label(&label), Some(key));
                    assert_eq!(shape.read_label(&label.to_ascii_uppercase()), Some(key));
                    assert_eq!(shape.read_label(&label[1..]), None);
                    let mut digest = Vec::new();
                    let whole = self::shape(hash, Alphabet::Hex, (hash.length() * 2).min(62) as u8);
                    whole.write_label(&whole.hash(b"some subject"), &mut digest);
                    if digest.len() == hash.length() * 2 {
                        assert_eq!(shape.read_digest(&digest), Some(key));
                    }
                }
            }
        }
    }

    #[test]
    fn characters_outside_the_alphabet_are_no_key() {
        assert_eq!(shape(HashKind::Md5, Alphabet::Hex, 4).read_label(b"12g4"), None);
        assert_eq!(shape(HashKind::Md5, Alphabet::Base32, 4).read_label(b"ab1c"), None);
        assert_eq!(shape(HashKind::Md5, Alphabet::ZBase32, 4).read_label(b"ab2c"), None);
        assert!(!shape(HashKind::Md5, Alphabet::Hex, 33).is_possible());
        assert!(!shape(HashKind::Sha256, Alphabet::Hex, 64).is_possible());
    }
}
