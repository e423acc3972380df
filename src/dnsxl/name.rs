//! Domain names as labels in wire form (RFC 1035, section 3.1), without the root's zero byte.
//!
//! Invariant: every length byte is 1–63, the labels fill the bytes exactly, and there are at most 254 bytes, so that
//! the name with its root byte fits the 255 of RFC 1035. Compression is the packet reader's affair.

use std::fmt;

/// An owned domain name; absolute or relative as the place says where it stands.
///
/// Case is kept, as a zone's SOA and NS are printed the way they were written; [`Name::to_lowercase`] makes a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Parses the text form of RFC 1035, section 5.1: labels between dots, `\.` and `\DDD` escapes.
    ///
    /// A single trailing dot is ignored; `.` and the empty text are the root.
    ///
    /// # Errors
    ///
    /// A label that is empty or over 63 bytes, a name over 255, an unfinished escape.
    pub fn parse(text: &[u8]) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 1);
        parse_into(text, &mut wire)?;
        Ok(Self(wire.into()))
    }

    /// The labels, without the root byte.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// A name from labels in wire form, without the root byte.
    ///
    /// # Errors
    ///
    /// Bytes that are not a whole number of labels, or too long.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        if wire.len() > MAX_WIRE {
            return Err(NameError::TooLong);
        }
        let mut at = 0;
        while at < wire.len() {
            let length = usize::from(wire[at]);
            if length == 0 {
                return Err(NameError::EmptyLabel);
            }
            if length > MAX_LABEL || at + 1 + length > wire.len() {
                return Err(NameError::LabelTooLong);
            }
            at += 1 + length;
        }
        Ok(Self(wire.into()))
    }

    /// Whether this is the root, or, for a relative name, the apex itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the wire form with the root byte.
    pub fn write_wire(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
        out.push(0);
    }

    /// The same name in lower case (RFC 4343): the form that keys have.
    pub fn to_lowercase(&self) -> Self {
        // length bytes are at most 63 and so are no ASCII letters
        Self(self.0.to_ascii_lowercase().into())
    }

    /// This name in front of `parent`.
    ///
    /// # Errors
    ///
    /// The two together are over 255 bytes.
    pub fn under(&self, parent: &Self) -> Result<Self, NameError> {
        if self.0.len() + parent.0.len() > MAX_WIRE {
            return Err(NameError::TooLong);
        }
        Ok(Self([&*self.0, &*parent.0].concat().into()))
    }

    /// The number of labels, the root not counted.
    pub fn label_count(&self) -> usize {
        labels(&self.0).count()
    }

    /// The name without its first label; the root's parent is the root.
    pub fn parent(&self) -> Self {
        match self.0.first() {
            Some(&length) => Self(self.0[1 + usize::from(length)..].into()),
            None => Self::default(),
        }
    }

    /// Whether this name is `ancestor` or below it. Both in the same case.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        self.relative_to(ancestor).is_some()
    }

    /// The labels in front of `ancestor`; none if this name is not at or below it. Both in the same case.
    pub fn relative_to(&self, ancestor: &Self) -> Option<Self> {
        let mut at = 0;
        while self.0.len() - at > ancestor.0.len() {
            at += 1 + usize::from(self.0[at]);
        }
        (self.0[at..] == *ancestor.0).then(|| Self(self.0[..at].into()))
    }
}

impl fmt::Display for Name {
    /// Writes the labels with a dot between them and none at the end; the root is `.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_wire(&self.0, f)
    }
}

/// Parses text into `wire`, appending; see [`Name::parse`]. Nothing is appended on an error.
///
/// # Errors
///
/// As [`Name::parse`].
pub fn parse_into(text: &[u8], wire: &mut Vec<u8>) -> Result<(), NameError> {
    let begin = wire.len();
    let result = parse_labels(text, wire);
    if result.is_err() {
        wire.truncate(begin);
    }
    result
}

fn parse_labels(text: &[u8], wire: &mut Vec<u8>) -> Result<(), NameError> {
    if text.is_empty() || text == b"." {
        return Ok(());
    }
    let begin = wire.len();
    let mut length_at = wire.len();
    wire.push(0);
    let mut at = 0;
    while at < text.len() {
        let byte = match text[at] {
            b'.' => {
                at += 1;
                close_label(wire, length_at)?;
                if at == text.len() {
                    return check_length(wire, begin);
                }
                length_at = wire.len();
                wire.push(0);
                continue;
            }
            b'\\' => {
                let (byte, used) = unescape(&text[at + 1..])?;
                at += used;
                byte
            }
            byte => byte,
        };
        wire.push(byte);
        at += 1;
    }
    close_label(wire, length_at)?;
    check_length(wire, begin)
}

fn close_label(wire: &mut [u8], length_at: usize) -> Result<(), NameError> {
    match wire.len() - length_at - 1 {
        0 => Err(NameError::EmptyLabel),
        length if length <= MAX_LABEL => {
            wire[length_at] = length as u8;
            Ok(())
        }
        _ => Err(NameError::LabelTooLong),
    }
}

fn check_length(wire: &[u8], begin: usize) -> Result<(), NameError> {
    if wire.len() - begin > MAX_WIRE { Err(NameError::TooLong) } else { Ok(()) }
}

/// The byte that an escape stands for, and how many bytes follow its backslash.
fn unescape(rest: &[u8]) -> Result<(u8, usize), NameError> {
    match *rest {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            u8::try_from(value).map(|byte| (byte, 3)).map_err(|_| NameError::BadEscape)
        }
        [b'0'..=b'9', ..] | [] => Err(NameError::BadEscape),
        [byte, ..] => Ok((byte, 1)),
    }
}

/// The labels of a wire form, first to last.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, after) = rest.split_first()?;
        let (label, next) = after.split_at(usize::from(length));
        rest = next;
        Some(label)
    })
}

/// Whether two wire forms are the same bytes.
///
/// Names are short and a QNAME has just been written, by the word: to compare by the word costs a fraction of a library
/// call whose wide loads wait for all those stores.
pub fn same_wire(a: &[u8], b: &[u8]) -> bool {
    let (words, rest) = a.as_chunks::<WORD>();
    let (other_words, other_rest) = b.as_chunks::<WORD>();
    let same = |(a, b): (&[u8; WORD], &[u8; WORD])| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
    a.len() == b.len() && words.iter().zip(other_words).all(same) && rest.iter().zip(other_rest).all(|(a, b)| a == b)
}

/// Writes the labels of a wire form in reversed order, and returns what was written.
///
/// Reversed, an ancestor is a prefix of its descendants, and sorted they stand together.
pub fn reverse_labels<'o>(wire: &[u8], out: &'o mut [u8; MAX_WIRE]) -> &'o [u8] {
    let mut end = wire.len();
    for label in labels(wire) {
        end -= label.len() + 1;
        out[end] = label.len() as u8;
        out[end + 1..end + 1 + label.len()].copy_from_slice(label);
    }
    &out[..wire.len()]
}

/// Writes a wire form as text, escaping what RFC 1035, section 5.1 has escaped.
///
/// # Errors
///
/// Those of the formatter.
pub fn fmt_wire(wire: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    if wire.is_empty() {
        return f.write_char('.');
    }
    for (index, label) in labels(wire).enumerate() {
        if index > 0 {
            f.write_char('.')?;
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => write!(f, "\\{}", byte as char)?,
                0x21..=0x7e => f.write_char(byte as char)?,
                _ => write!(f, "\\{byte:03}")?,
            }
        }
    }
    Ok(())
}

/// A borrowed name with the place of each label, so that any run of labels is a slice.
///
/// `starts[i]` is where the length byte of label `i` stands in `wire`; label 0 is the first, leftmost one.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    wire: &'a [u8],
    starts: &'a [u8],
}

impl<'a> Labels<'a> {
    /// How many labels there are.
    pub fn count(self) -> usize {
        self.starts.len()
    }

    /// All labels in wire form, without the root byte.
    pub fn wire(self) -> &'a [u8] {
        self.wire
    }

    /// Label `index` without its length byte, counted from the left.
    pub fn label(self, index: usize) -> &'a [u8] {
        let start = usize::from(self.starts[index]);
        &self.wire[start + 1..start + 1 + usize::from(self.wire[start])]
    }

    /// The last `count` labels in wire form: an ancestor of the name, or the name itself.
    pub fn suffix(self, count: usize) -> &'a [u8] {
        match self.starts.len() - count {
            index if index == self.starts.len() => &[],
            index => &self.wire[usize::from(self.starts[index])..],
        }
    }

    /// The name without its last `count` labels: what stands in front of an apex of that many labels.
    pub fn without_suffix(self, count: usize) -> Self {
        let keep = self.starts.len() - count;
        let end = self.starts.get(keep).map_or(self.wire.len(), |&start| usize::from(start));
        Self { wire: &self.wire[..end], starts: &self.starts[..keep] }
    }
}

/// A name in lower case in memory of its own, with the place of each label: the QNAME while it is answered.
///
/// A fixed size, so that reading a query allocates nothing.
#[derive(Clone)]
pub struct QueryName {
    wire: [u8; MAX_WIRE],
    starts: [u8; MAX_LABELS],
    length: u8,
    count: u8,
}

impl QueryName {
    /// Reads the uncompressed name at the start of `bytes`, up to its root byte; also how many bytes it took.
    ///
    /// # Errors
    ///
    /// A name that does not end within `bytes`, a label over 63 bytes (so also a compression pointer), a name over 255.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), NameError> {
        let mut name = Self::default();
        let length = name.read_again(bytes)?;
        Ok((name, length))
    }

    /// As [`Self::read`], in the place of the name that was here: in a loop that neither clears nor moves 400 bytes for
    /// a name of 30. After an error it is the root.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_again(&mut self, bytes: &[u8]) -> Result<usize, NameError> {
        (self.length, self.count) = (0, 0);
        let (mut at, mut count) = (0, 0);
        loop {
            let length = usize::from(*bytes.get(at).ok_or(NameError::TooLong)?);
            if length == 0 {
                break;
            }
            if length > MAX_LABEL {
                return Err(NameError::LabelTooLong);
            }
            if at + 1 + length > MAX_WIRE {
                return Err(NameError::TooLong);
            }
            self.starts[count] = at as u8;
            count += 1;
            at += 1 + length;
        }
        let (words, rest) = bytes.get(..at).ok_or(NameError::TooLong)?.as_chunks::<WORD>();
        let (to_words, to_rest) = self.wire.as_chunks_mut::<WORD>();
        for (to, from) in to_words.iter_mut().zip(words) {
            *to = from.map(|byte| byte.to_ascii_lowercase());
        }
        let to_rest = to_words.get_mut(words.len()).map_or(to_rest, |word| word.as_mut_slice());
        for (to, from) in to_rest.iter_mut().zip(rest) {
            *to = from.to_ascii_lowercase();
        }
        (self.length, self.count) = (at as u8, count as u8);
        Ok(at + 1)
    }

    /// The labels, in lower case.
    pub fn labels(&self) -> Labels<'_> {
        Labels { wire: &self.wire[..usize::from(self.length)], starts: &self.starts[..usize::from(self.count)] }
    }
}

impl Default for QueryName {
    /// The root.
    fn default() -> Self {
        Self { wire: [0; MAX_WIRE], starts: [0; MAX_LABELS], length: 0, count: 0 }
    }
}

impl From<&Name> for QueryName {
    fn from(name: &Name) -> Self {
        let mut wire = Vec::with_capacity(MAX_WIRE + 1);
        name.write_wire(&mut wire);
        // the invariant of `Name` is what `read` asks for
        Self::read(&wire).expect("a Name is a readable name").0
    }
}

impl fmt::Debug for QueryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_wire(self.labels().wire(), f)
    }
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a leading one.
    #[error("empty label")]
    EmptyLabel,
    /// Over 63 bytes.
    #[error("label over 63 bytes")]
    LabelTooLong,
    /// Over 255 bytes in wire form.
    #[error("name over 255 bytes")]
    TooLong,
    /// A backslash without what must follow it.
    #[error("unfinished or impossible escape")]
    BadEscape,
}

/// Bytes of a name that are copied and compared at once.
const WORD: usize = 8;
/// RFC 1035, section 2.3.4: a label is at most 63 bytes.
pub const MAX_LABEL: usize = 63;
/// RFC 1035, section 2.3.4: a name is at most 255 bytes; the root byte is one of them.
pub const MAX_WIRE: usize = 254;
/// The most labels that 254 bytes hold.
pub const MAX_LABELS: usize = MAX_WIRE / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_agree() {
        let name = Name::parse(b"WWW.ex\\.am\\032ple.com.").unwrap();
        assert_eq!(name.as_wire(), b"\x03WWW\x09ex.am ple\x03com");
        assert_eq!(name.to_string(), "WWW.ex\\.am\\032ple.com");
        assert_eq!(Name::parse(name.to_string().as_bytes()).unwrap(), name);
        assert_eq!(name.label_count(), 3);
        assert!(Name::parse(b".").unwrap().is_root());
    }

    #[test]
    fn bad_names_are_named() {
        assert_eq!(Name::parse(b"a..b"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(b".a"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(&[b'a'; 64]), Err(NameError::LabelTooLong));
        assert_eq!(Name::parse(b"a\\25"), Err(NameError::BadEscape));
        assert_eq!(Name::parse(b"a\\256"), Err(NameError::BadEscape));
        let long = [b"a.".repeat(127), b"b".to_vec()].concat();
        assert_eq!(Name::parse(&long), Err(NameError::TooLong));
        assert!(Name::parse(&b"a.".repeat(127)).is_ok());
    }

    #[test]
    fn a_query_name_is_cut_at_labels() {
        let name = QueryName::from(&Name::parse(b"A.b.Bl.example").unwrap());
        let labels = name.labels();
        assert_eq!(labels.count(), 4);
        assert_eq!(labels.suffix(2), b"\x02bl\x07example");
        assert_eq!(labels.suffix(0), b"");
        assert_eq!(labels.without_suffix(2).wire(), b"\x01a\x01b");
        assert_eq!(labels.without_suffix(4).count(), 0);
        assert_eq!(labels.label(0), b"a");
    }

    #[test]
    fn an_unfinished_or_pointed_name_is_an_error() {
        assert!(QueryName::read(b"\x03ab").is_err());
        assert!(QueryName::read(b"").is_err());
        assert_eq!(QueryName::read(b"\xc0\x0c").unwrap_err(), NameError::LabelTooLong);
        let mut long = b"\x01a".repeat(127);
        long.push(0);
        assert!(QueryName::read(&long).is_ok());
        long.splice(0..0, *b"\x01a");
        assert_eq!(QueryName::read(&long).unwrap_err(), NameError::TooLong);
    }

    #[test]
    fn names_of_every_length_are_lowered_and_compared_whole() {
        for length in 1..=200 {
            let mut text = b"Ab".repeat(length);
            text.truncate(length);
            text.chunks_mut(60).for_each(|label| label[0] = b'.');
            text[0] = b'x';
            let name = Name::parse(&text).unwrap();
            let lower = name.to_lowercase();
            assert!(same_wire(QueryName::from(&name).labels().wire(), lower.as_wire()), "{name}");
            for at in 0..lower.as_wire().len() {
                let mut other = lower.as_wire().to_vec();
                other[at] ^= 1;
                assert!(!same_wire(&other, lower.as_wire()), "{name} {at}");
            }
            assert!(!same_wire(lower.as_wire(), &lower.as_wire()[1..]));
        }
    }

    #[test]
    fn below_means_at_a_label() {
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        assert!(name("a.b.c").is_at_or_below(&name("b.c")));
        assert!(name("b.c").is_at_or_below(&name("b.c")));
        assert!(!name("ab.c").is_at_or_below(&name("b.c")));
        assert!(!name("c").is_at_or_below(&name("b.c")));
        assert!(name("c").is_at_or_below(&name(".")));
    }
}
