//! The keys of a `keys` dataset: labels in query names, by which clients are known.
//!
//! Invariant: a key is in no message and in no printed form of this; what tells of one has its name.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrayvec::ArrayVec;

use crate::dnsxl::name::MAX_LABEL;
use crate::feed::{Quota, could_be_key};

/// The keys of a dataset.
#[derive(Default, PartialEq)]
pub struct Keys {
    /// The index of each label's key; labels stand in the table itself, so that one is found with one wait for memory.
    by_label: HashMap<ArrayVec<u8, MAX_LABEL>, u32>,
    all: Vec<Key>,
    /// Whether any of them has a quota of its own: where none has, nobody need look.
    has_quotas: bool,
}

/// A key, as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose it is; several keys may be one's.
    pub name: Box<str>,
    /// How much may be asked with it.
    pub quota: Quota,
    /// What is asked with keys of one name is counted together: the same for all of them, in every generation.
    pub account: u64,
}

impl Keys {
    /// Takes a key of a dataset, in lower case, unless it is there already: then the name that has it.
    pub(super) fn push(&mut self, dataset: &str, name: &str, key: &[u8], quota: Quota) -> Option<&str> {
        if let Some(&index) = self.by_label.get(key) {
            return Some(&self.all[index as usize].name);
        }
        self.has_quotas |= quota != Quota::default();
        let mut hasher = DefaultHasher::new();
        (dataset, name).hash(&mut hasher);
        self.by_label.insert(key.iter().take(MAX_LABEL).copied().collect(), self.all.len() as u32);
        self.all.push(Key { name: name.into(), quota, account: hasher.finish() });
        None
    }

    /// The key that a label in lower case is, and its index.
    pub fn find(&self, label: &[u8]) -> Option<(u32, &Key)> {
        // what is no key in any case is not hashed
        let index = *self.by_label.get(Some(label).filter(|label| could_be_key(label))?)?;
        Some((index, &self.all[index as usize]))
    }

    /// Whether any of them has a quota of its own.
    pub fn has_quotas(&self) -> bool {
        self.has_quotas
    }

    /// A key by its index.
    pub fn get(&self, index: u32) -> Option<&Key> {
        self.all.get(index as usize)
    }

    /// The label of one of the keys, for the program to ask itself with.
    pub(crate) fn any_label(&self) -> Option<&[u8]> {
        self.by_label.keys().map(|label| &**label).min()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.all).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_label_and_shown_by_its_name() {
        let mut keys = Keys::default();
        let quota = Quota::parse("5/s").unwrap();
        assert_eq!(keys.push("customers", "acme", b"0123456789abcdef", quota), None);
        assert_eq!(keys.push("customers", "acme", b"fedcba9876543210", Quota::default()), None);
        assert_eq!(keys.push("customers", "bolt", b"0123456789abcdef", Quota::default()), Some("acme"));
        let (index, key) = keys.find(b"0123456789abcdef").unwrap();
        assert_eq!((&*key.name, key.quota), ("acme", quota));
        assert_eq!(keys.get(index), Some(key));
        assert_eq!(keys.find(b"fedcba9876543210").unwrap().1.account, key.account, "one customer, one account");
        assert!(keys.find(b"0123456789abcde").is_none() && keys.find(b"").is_none());
        assert!(!format!("{keys:?}").contains("0123456789abcdef"));
    }
}
