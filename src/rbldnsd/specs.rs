//! Zone specs, `zone:type:file,file…`, to the plan of what is served.
//!
//! Invariant: equal `type:files` are one dataset however many zones have it; the zones, and the datasets of each, stand
//! in the order they were first named in. Rules of rbldnsd that data can rely on hold: nothing is taken for a mistake
//! but by the format itself, no listing is forbidden, and no test entry is put in.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::options::{Options, ShownVersion};
use crate::dataset::{BadLines, Bounds, Defaults, NeverList, Spec};
use crate::dnsxl::Name;
use crate::feed::{Format, Reading};
use crate::reload::{Cookies, Plan, ZonePlan};
use crate::snapshot::Version;
use crate::zone::{Choice, TestEntries, ZoneSpec};

/// A zone spec that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpecError {
    #[error("invalid zone spec `{0}'")]
    Form(String),
    #[error("missing domain name in `{0}'")]
    NoName(String),
    #[error("invalid domain name `{0}'")]
    Name(String),
    #[error("invalid zone data specification `{0}'")]
    NoType(String),
    #[error("unknown dataset type `{0}'")]
    Type(String),
    #[error("missing filenames for {0}")]
    NoFiles(String),
    #[error("repeated ACL definition for zone `{0}'")]
    SecondAcl(String),
    #[error("global acl specified more than once")]
    SecondGlobalAcl,
}

/// What the options ask to be served; `own_addresses` are those of the server itself.
pub(super) fn plan(options: &Options, own_addresses: &[IpAddr]) -> Result<Plan, SpecError> {
    let version = match options.shown_version {
        ShownVersion::Full => Version::Text(concat!("infamy ", env!("CARGO_PKG_VERSION")).to_owned()),
        ShownVersion::Name => Version::Text("infamy".to_owned()),
        ShownVersion::Refused => Version::Refused,
    };
    let never = NeverList::empty();
    // rbldnsd knows no EDNS options, and whoever stands in its place sends none
    let cookies = Cookies::Off;
    let mut plan = Plan { datasets: Vec::new(), zones: Vec::new(), access: None, never, version, cookies };
    for spec in &options.zones {
        plan.add(spec.as_bytes(), options, own_addresses)?;
    }
    let apexes: Vec<Name> = plan.zones.iter().map(|zone| zone.spec.apex.clone()).collect();
    plan.zones.iter_mut().for_each(|zone| zone.spec.others.clone_from(&apexes));
    Ok(plan)
}

impl Plan {
    /// Takes one zone spec.
    fn add(&mut self, text: &[u8], options: &Options, own_addresses: &[IpAddr]) -> Result<(), SpecError> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        let (zone, data) = split(text, b':').ok_or_else(|| SpecError::Form(shown()))?;
        let (kind, _) = split(data, b':').ok_or_else(|| SpecError::NoType(String::from_utf8_lossy(data).into()))?;
        let format = format_of(kind).ok_or_else(|| SpecError::Type(String::from_utf8_lossy(kind).into()))?;
        let apex = Name::parse(zone).map_err(|_| SpecError::Name(shown()))?.to_lowercase();
        // `:acl:` and `.:acl:` are the list for all zones
        if apex.is_root() && format != Format::Acl {
            return Err(SpecError::NoName(shown()));
        }
        let dataset = self.dataset(data, format, options)?;
        if apex.is_root() {
            let second = self.access.replace(dataset).is_some();
            return if second { Err(SpecError::SecondGlobalAcl) } else { Ok(()) };
        }
        let zone = self.zone(apex, options, own_addresses);
        if format != Format::Acl {
            let at_apex = (dataset, Name::default());
            if !zone.datasets.contains(&at_apex) {
                zone.datasets.push(at_apex);
            }
        } else if zone.access.replace(dataset).is_some() {
            return Err(SpecError::SecondAcl(zone.spec.apex.to_string()));
        }
        Ok(())
    }

    /// The index of the dataset with this `type:files`, new or named before.
    fn dataset(&mut self, data: &[u8], format: Format, options: &Options) -> Result<usize, SpecError> {
        let name = String::from_utf8_lossy(data).into_owned();
        if let Some(known) = self.datasets.iter().position(|dataset| dataset.name == name) {
            return Ok(known);
        }
        let (kind, files) = split(data, b':').unwrap_or_default();
        let files = files.split(|&byte| byte == b',').filter(|file| !file.is_empty());
        let files: Vec<PathBuf> = files.map(|file| OsStr::from_bytes(file).into()).collect();
        if files.is_empty() {
            return Err(SpecError::NoFiles(String::from_utf8_lossy(kind).into()));
        }
        let reading = Reading { host_bits: options.host_bits, compression: options.compression, ..Reading::default() };
        let ttl_bounds = options.ttl.least..=options.ttl.most;
        let (defaults, bad_lines) = (Defaults::default(), BadLines::Skip);
        let (min_entries, heeds_never_list) = (0, false);
        self.datasets.push(Spec {
            name,
            format,
            files,
            emitted: None,
            reading,
            defaults,
            bad_lines,
            min_entries,
            bounds: Bounds::NONE,
            heeds_never_list,
            ttl_bounds,
        });
        Ok(self.datasets.len() - 1)
    }

    fn zone(&mut self, apex: Name, options: &Options, own_addresses: &[IpAddr]) -> &mut ZonePlan {
        let known = self.zones.iter().position(|zone| zone.spec.apex == apex);
        let index = known.unwrap_or_else(|| {
            let spec = ZoneSpec {
                apex,
                soa: None,
                ns: None,
                own_addresses: own_addresses.to_vec(),
                least_serial: 0,
                ttl: options.ttl.default,
                choice: Choice::All,
                ns_in_authority: options.ns_in_authority,
                test_entries: TestEntries::AsWritten,
                others: Vec::new(),
            };
            self.zones.push(ZonePlan {
                spec,
                datasets: Vec::new(),
                allow: Vec::new(),
                access: None,
                keys: None,
                terms: Default::default(),
            });
            self.zones.len() - 1
        });
        &mut self.zones[index]
    }
}

/// What stands before the first separator, and what behind it.
fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

fn format_of(kind: &[u8]) -> Option<Format> {
    TYPES.iter().find(|(name, _)| name.as_bytes() == kind).map(|&(_, format)| format)
}

/// What rbldnsd calls a format.
pub(super) fn type_of(format: Format) -> &'static str {
    TYPES.iter().find(|(_, known)| *known == format).map_or("", |&(name, _)| name)
}

const TYPES: [(&str, Format); 9] = [
    ("ip4set", Format::Ip4Set),
    ("ip4tset", Format::Ip4Tset),
    ("ip4trie", Format::Ip4Trie),
    ("ip6tset", Format::Ip6Tset),
    ("ip6trie", Format::Ip6Trie),
    ("dnset", Format::Dnset),
    ("generic", Format::Generic),
    ("combined", Format::Combined),
    ("acl", Format::Acl),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(specs: &[&str]) -> Result<Plan, SpecError> {
        let zones = specs.iter().map(|spec| (*spec).into()).collect();
        plan(&Options { zones, ..Options::default() }, &[])
    }

    #[test]
    fn a_zone_named_again_gets_more_datasets_and_equal_files_are_read_once() {
        let plan = read(&["A.ex.:ip4set:f,g", "b.ex:ip4set:f,g", "a.ex:dnset:n", "a.ex:acl:c", ":acl:c"]).unwrap();
        let names: Vec<&str> = plan.datasets.iter().map(|dataset| &*dataset.name).collect();
        assert_eq!(names, ["ip4set:f,g", "dnset:n", "acl:c"]);
        assert_eq!(plan.datasets[0].files, [PathBuf::from("f"), PathBuf::from("g")]);
        let zones: Vec<String> = plan.zones.iter().map(|zone| zone.spec.apex.to_string()).collect();
        assert_eq!(zones, ["a.ex", "b.ex"]);
        assert_eq!(plan.zones[0].datasets, [(0, Name::default()), (1, Name::default())]);
        assert_eq!((plan.zones[0].access, plan.zones[1].access, plan.access), (Some(2), None, Some(2)));
    }

    #[test]
    fn an_access_list_of_the_root_is_for_all_zones() {
        for spec in [":acl:c", ".:acl:c"] {
            let plan = read(&["a.ex:ip4set:f", spec]).unwrap();
            assert_eq!((plan.access, plan.zones.len(), plan.zones[0].access), (Some(1), 1, None), "{spec}");
        }
    }

    #[test]
    fn a_wrong_spec_is_told() {
        let told = |specs: &[&str]| read(specs).unwrap_err().to_string();
        assert_eq!(told(&["x"]), "invalid zone spec `x'");
        assert_eq!(told(&["x:ip4set"]), "invalid zone data specification `ip4set'");
        assert_eq!(told(&["x:foo:bar"]), "unknown dataset type `foo'");
        assert_eq!(told(&["x:ip4set:,"]), "missing filenames for ip4set");
        assert_eq!(told(&[".:ip4set:f"]), "missing domain name in `.:ip4set:f'");
        assert_eq!(told(&[":ip4set:f"]), "missing domain name in `:ip4set:f'");
        assert_eq!(told(&["x:acl:a", "x:acl:b"]), "repeated ACL definition for zone `x'");
        assert_eq!(told(&[":acl:a", ".:acl:a"]), "global acl specified more than once");
    }
}
