//! Statements about digests come to one list a digest; an exclusion wins, several values join.

use super::values::{ListId, Lists, Met};

/// What a list says of digests, all of one length.
#[derive(Debug, Default)]
pub struct HashStatements {
    /// Bytes of every key; 0 until the first.
    width: usize,
    keys: Vec<u8>,
    said: Vec<Option<Met>>,
}

impl HashStatements {
    /// Takes a statement about a digest. All have the dataset's one length; another one is left out.
    pub fn push(&mut self, key: &[u8], said: Option<Met>) {
        if self.said.is_empty() {
            self.width = key.len();
        }
        if key.len() == self.width {
            self.keys.extend_from_slice(key);
            self.said.push(said);
        }
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.said.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// Resolves the statements.
    pub fn resolve(self, lists: &mut Lists) -> HashKeys {
        let key = |index: u32| &self.keys[index as usize * self.width..][..self.width];
        let mut order: Vec<u32> = (0..self.said.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| key(a).cmp(key(b)));
        let mut listed = Vec::new();
        for same in order.chunk_by(|&a, &b| key(a) == key(b)) {
            let said: Option<Vec<Met>> = same.iter().map(|&index| self.said[index as usize]).collect();
            if let Some(mut list) = said {
                listed.push((same[0], lists.intern(&mut list)));
            }
        }
        HashKeys { width: self.width, keys: self.keys, listed }
    }
}

/// The listed digests, sorted.
#[derive(Debug, Default)]
pub struct HashKeys {
    width: usize,
    keys: Vec<u8>,
    listed: Vec<(u32, ListId)>,
}

impl HashKeys {
    /// The digests with their lists, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], ListId)> + Clone {
        self.listed.iter().map(|&(index, list)| (&self.keys[index as usize * self.width..][..self.width], list))
    }

    /// Whether a digest is listed.
    pub fn contains(&self, key: &[u8]) -> bool {
        let key_of = |index: u32| &self.keys[index as usize * self.width..][..self.width];
        self.listed.binary_search_by(|&(index, _)| key_of(index).cmp(key)).is_ok()
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusion_wins_and_values_join() {
        let mut statements = HashStatements::default();
        for (key, said) in [(b"bb", Some(0)), (b"aa", Some(1)), (b"aa", Some(0)), (b"cc", Some(0)), (b"cc", None)] {
            statements.push(key, said.map(Met));
        }
        let mut lists = Lists::default();
        let keys = statements.resolve(&mut lists);
        let both = lists.intern(&mut vec![Met(0), Met(1)]);
        let one = lists.intern(&mut vec![Met(0)]);
        assert_eq!(keys.iter().collect::<Vec<_>>(), [(&b"aa"[..], both), (&b"bb"[..], one)]);
        assert_eq!([b"aa", b"bb", b"cc", b"dd"].map(|key| keys.contains(key)), [true, true, false, false]);
    }
}
