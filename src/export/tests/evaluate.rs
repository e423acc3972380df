//! A master file as a plain server reads it: as much of RFC 1035 and RFC 4592 as the writer uses, told naively.

use std::collections::{BTreeMap, BTreeSet};

/// The records of each owner that exists, the owner's labels from the right; those between have none.
pub(super) struct MasterFile(BTreeMap<Vec<String>, Vec<(String, String)>>);

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    NxDomain,
    Data(BTreeSet<String>),
}

impl MasterFile {
    pub(super) fn read(text: &str) -> Self {
        let mut owners: BTreeMap<Vec<String>, Vec<(String, String)>> = BTreeMap::new();
        let mut owner = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('$')) {
            let mut fields = line.split('\t').peekable();
            match fields.next().unwrap() {
                "" => {}
                "@" => owner = Vec::new(),
                name => owner = reversed(name),
            }
            fields.next_if(|field| field.bytes().all(|byte| byte.is_ascii_digit()));
            fields.next_if(|field| *field == "IN");
            let (rtype, data) = (fields.next().unwrap(), fields.next().unwrap());
            assert_eq!(fields.next(), None, "{line}");
            let records = owners.entry(owner.clone()).or_default();
            let record = (rtype.to_owned(), data.to_owned());
            assert!(!records.contains(&record), "twice: {line}");
            records.push(record);
        }
        for owner in owners.keys().cloned().collect::<Vec<_>>() {
            for length in 0..owner.len() {
                owners.entry(owner[..length].to_vec()).or_default();
            }
        }
        Self(owners)
    }

    /// RFC 1034, section 4.3.2, with the wildcards of RFC 4592.
    pub(super) fn ask(&self, name: &str, rtype: &str) -> Said {
        let name = reversed(name);
        let encloser = (0..=name.len()).rev().find(|&length| self.0.contains_key(&name[..length])).unwrap();
        let mut owner = name[..encloser].to_vec();
        if encloser < name.len() {
            owner.push("*".to_owned());
        }
        let Some(records) = self.0.get(&owner) else { return Said::NxDomain };
        Said::Data(records.iter().filter(|record| record.0 == rtype).map(|record| record.1.clone()).collect())
    }
}

fn reversed(name: &str) -> Vec<String> {
    name.split('.').rev().map(str::to_owned).collect()
}
