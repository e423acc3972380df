//! Names that many people use: the more, the more it takes before a whole domain is held against its owner.

use std::collections::HashSet;
use std::path::Path;

use super::lines::{ListError, each, parse_host};
use super::suffixes::Suffixes;
use crate::feed::Skipped;

/// Ranks of popular names.
///
/// A list has a million names, most of which nobody reports: they lie in one string, sorted, and not in a map.
#[derive(Debug, Default)]
pub struct Popularity {
    text: String,
    /// Sorted by name: where it begins in `text`, how long it is, and its rank.
    entries: Vec<(u32, u8, u32)>,
}

/// How popular a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RankClass {
    /// Above rank 10,000.
    Top,
    /// 10,000 to 100,000.
    High,
    /// 100,000 to 1,000,000.
    Known,
    /// Not on the list, or beyond.
    Unranked,
}

impl RankClass {
    /// The class of a rank.
    pub fn of(rank: Option<u32>) -> Self {
        match rank {
            Some(rank) if rank <= TOP => Self::Top,
            Some(rank) if rank <= HIGH => Self::High,
            Some(rank) if rank <= KNOWN => Self::Known,
            _ => Self::Unranked,
        }
    }
}

impl Popularity {
    /// Reads a list in rank order: a name a line, or `rank,name` and columns that do not count.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn open(path: &Path) -> Result<(Self, Skipped), ListError> {
        let mut popularity = Self::default();
        let mut count = 0;
        let skipped = each(path, |line| {
            let mut columns = line.split([',', '\t', ' ']).map(str::trim);
            let first = columns.next().unwrap_or_default();
            let written: Option<u32> = first.parse().ok();
            let name = if written.is_some() { columns.next().unwrap_or_default() } else { first };
            let name = parse_host(name)?;
            count += 1;
            popularity.push(&name, written.unwrap_or(count));
            Ok(())
        })?;
        popularity.sort();
        Ok((popularity, skipped))
    }

    /// The names in rank order.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut popularity = Self::default();
        for (index, name) in names.into_iter().enumerate() {
            popularity.push(name, index as u32 + 1);
        }
        popularity.sort();
        popularity
    }

    fn push(&mut self, name: &str, rank: u32) {
        // ranks beyond the last class say nothing, and 4 GiB of names hold all of those before
        if let (Ok(begin), true) = (u32::try_from(self.text.len()), rank <= KNOWN) {
            self.text.push_str(name);
            self.entries.push((begin, name.len() as u8, rank));
        }
    }

    fn sort(&mut self) {
        let text = &self.text;
        let name = |&(begin, length, _): &(u32, u8, u32)| &text[begin as usize..][..usize::from(length)];
        self.entries.sort_unstable_by(|a, b| name(a).cmp(name(b)).then(a.2.cmp(&b.2)));
    }

    fn name(&self, index: usize) -> &str {
        let (begin, length, _) = self.entries[index];
        &self.text[begin as usize..][..usize::from(length)]
    }

    /// The rank of this very name.
    pub fn rank(&self, name: &str) -> Option<u32> {
        let index = self
            .entries
            .partition_point(|&(begin, length, _)| self.text[begin as usize..][..usize::from(length)] < *name);
        (index < self.entries.len() && self.name(index) == name).then(|| self.entries[index].2)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.entries.len()).map(|index| self.name(index))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Names that the operator vouches for: each with all below it that is not another's.
#[derive(Debug, Default)]
pub struct KnownSafe {
    names: HashSet<Box<str>>,
}

impl KnownSafe {
    /// The names.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect() }
    }

    /// Adds the names of a file, one a line.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn add(&mut self, path: &Path) -> Result<Skipped, ListError> {
        let names = &mut self.names;
        Ok(each(path, |line| {
            names.insert(parse_host(line)?.into());
            Ok(())
        })?)
    }

    /// The name that vouches for a host: the host itself, or one above it down to its registrable domain.
    ///
    /// A suffix that is on the list vouches for itself alone, and not for its tenants.
    pub fn vouching<'h>(&self, host: &'h str, suffixes: &Suffixes) -> Option<&'h str> {
        let least = suffixes.split(host).registrable.map_or(host.len(), str::len);
        ancestors(host).take_while(|name| name.len() >= least).find(|name| self.names.contains(*name))
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}

/// A name and those above it.
pub(super) fn ancestors(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |name| name.split_once('.').map(|(_, parent)| parent))
}

/// Nothing about these whole domains is decided without a person.
const TOP: u32 = 10_000;
/// Popular enough that many people share them.
const HIGH: u32 = 100_000;
/// Known to some.
const KNOWN: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_read_from_either_form() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# top\nfirst.example\nSecond.example\n12000,third.example,x\n!\n").unwrap();
        let (popularity, skipped) = Popularity::open(file.path()).unwrap();
        let rank = |name| popularity.rank(name);
        assert_eq!(
            [rank("first.example"), rank("second.example"), rank("third.example"), rank("fourth.example")],
            [Some(1), Some(2), Some(12_000), None]
        );
        assert_eq!(skipped.total, 1);
        assert!(skipped.lines[0].to_string().ends_with(":5: `!` is no domain name"), "{}", skipped.lines[0]);
        assert_eq!(RankClass::of(rank("third.example")), RankClass::High);
    }

    #[test]
    fn who_is_vouched_for() {
        let suffixes = Suffixes::built_in();
        let safe = KnownSafe::of(["list.example", "github.io", "good.github.io"]);
        for (host, expected) in [
            ("list.example", Some("list.example")),
            ("a.b.list.example", Some("list.example")),
            ("good.github.io", Some("good.github.io")),
            ("github.io", Some("github.io")),
            ("evil.github.io", None),
            ("other.example", None),
        ] {
            assert_eq!(safe.vouching(host, &suffixes), expected, "{host}");
        }
    }
}
