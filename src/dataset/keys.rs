//! The keys of a `keys` dataset: labels in query names, by which clients are known.
//!
//! Invariant: a key is in no message and in no printed form of this; what tells of one has its name.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrayvec::ArrayVec;

use super::Reason;
use crate::dnsxl::name::MAX_LABEL;
use crate::feed::{Quota, could_be_key};

/// The keys of a dataset.
#[derive(Default, PartialEq)]
pub struct Keys {
    /// The index of each label's key; labels stand in the table itself, so that one is found with one wait for memory.
    by_label: HashMap<ArrayVec<u8, MAX_LABEL>, u32>,
    all: Vec<Key>,
    /// The quotas of names, until all lines are there: one that comes later is for the keys before it too.
    quotas: HashMap<Box<str>, Quota>,
    /// Whether any of them has a quota of its own: where none has, nobody need look.
    has_quotas: bool,
}

/// A key, as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose it is; several keys may be one's.
    pub name: Box<str>,
    /// How much may be asked with all keys of that name.
    pub quota: Quota,
    /// What is asked with keys of one name is counted together: the same for all of them, in every generation.
    pub account: u64,
}

impl Keys {
    /// Takes a key of a dataset, in lower case; what of its line is left out, if anything is.
    pub(super) fn push(&mut self, dataset: &str, name: &str, key: &[u8], quota: Quota) -> Option<Reason> {
        if let Some(&index) = self.by_label.get(key) {
            let first = self.all[index as usize].name.to_string();
            return Some(Reason::KeyTwice { name: name.to_owned(), first });
        }
        let mut hasher = DefaultHasher::new();
        (dataset, name).hash(&mut hasher);
        self.by_label.insert(key.iter().take(MAX_LABEL).copied().collect(), self.all.len() as u32);
        self.all.push(Key { name: name.into(), quota: Quota::default(), account: hasher.finish() });
        if quota == Quota::default() {
            return None;
        }
        let first = *self.quotas.entry(name.into()).or_insert(quota);
        (first != quota).then(|| Reason::QuotaTwice { name: name.to_owned(), quota, first })
    }

    /// The same once all keys are there, each with the quota of its name.
    pub(super) fn settled(mut self) -> Self {
        let quotas = std::mem::take(&mut self.quotas);
        for key in &mut self.all {
            key.quota = quotas.get(&key.name).copied().unwrap_or_default();
        }
        self.has_quotas = !quotas.is_empty();
        self
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
        assert_eq!(keys.push("customers", "acme", b"0123456789abcdef", Quota::default()), None);
        assert_eq!(keys.push("customers", "acme", b"fedcba9876543210", Quota::default()), None);
        let twice = Reason::KeyTwice { name: "bolt".to_owned(), first: "acme".to_owned() };
        assert_eq!(keys.push("customers", "bolt", b"0123456789abcdef", Quota::default()), Some(twice));
        let keys = keys.settled();
        let (index, key) = keys.find(b"0123456789abcdef").unwrap();
        assert_eq!((&*key.name, key.quota), ("acme", Quota::default()));
        assert!(!keys.has_quotas());
        assert_eq!(keys.get(index), Some(key));
        assert_eq!(keys.find(b"fedcba9876543210").unwrap().1.account, key.account, "one customer, one account");
        assert!(keys.find(b"0123456789abcde").is_none() && keys.find(b"").is_none());
        assert!(!format!("{keys:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn a_quota_is_the_names_whatever_line_has_it() {
        let quota = |text: &str| Quota::parse(text).unwrap();
        let lines = [
            ("acme", b"acme-1-acme-1-acme-1", ""),
            ("acme", b"acme-2-acme-2-acme-2", "5/s 20/d"),
            ("acme", b"acme-3-acme-3-acme-3", ""),
            ("acme", b"acme-4-acme-4-acme-4", "20/d 5/s"),
            ("bolt", b"bolt-1-bolt-1-bolt-1", ""),
            ("acme", b"acme-5-acme-5-acme-5", "5/s"),
        ];
        let mut keys = Keys::default();
        let left_out: Vec<_> =
            lines.iter().map(|&(name, key, own)| keys.push("customers", name, key, quota(own))).collect();
        assert!(left_out[..5].iter().all(Option::is_none), "{left_out:?}");
        let told = left_out[5].as_ref().unwrap().to_string();
        assert_eq!(
            told,
            "the quota of acme is left out: 5/s here, and 5/s 20/d in an earlier line: write one for all its keys"
        );
        let keys = keys.settled();
        for (name, key, _) in lines {
            let own = if name == "acme" { "5/s 20/d" } else { "" };
            assert_eq!(keys.find(key).unwrap().1.quota, quota(own), "{name}");
        }
        assert!(keys.has_quotas());
    }
}
