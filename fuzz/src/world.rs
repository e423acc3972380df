//! Zones over every kind of data, to be asked anything.

use std::path::Path;

use infamy::dataset::{BadLines, Defaults, NeverList, Spec};
use infamy::dnsxl::Name;
use infamy::dnsxl::key::{Alphabet, HashKind, KeyShape};
use infamy::feed::{Format, Reading};
use infamy::reload::{Cookies, Plan, Store, ZonePlan};
use infamy::snapshot::{Snapshot, Version};
use infamy::zone::{Choice, TestEntries, UnixTime, ZoneSpec};

use crate::compiled::files;

/// A generation with a zone `b` over every kind of list and a zone `a.b` below it.
pub(crate) fn snapshot() -> Snapshot {
    let texts: Vec<&[u8]> = LISTS.iter().map(|(_, _, text)| text.as_bytes()).collect();
    loaded(&texts).1
}

/// The same of compiled files, which stay open when they are gone: whoever is asked for reasons reads none.
pub(crate) fn without_files() -> (Store, Snapshot) {
    loaded(&files())
}

/// The datasets of all lists, of these files.
fn loaded<F: AsRef<[u8]>>(files: &[F]) -> (Store, Snapshot) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut datasets = Vec::new();
    for ((name, format, _), file) in LISTS.iter().zip(files) {
        let path = folder.path().join(name);
        std::fs::write(&path, file).expect("a list file");
        datasets.push(dataset(name, *format, &path));
    }
    let all = (0..datasets.len()).map(|index| (index, Name::default())).collect();
    let zones = vec![zone("b", all, Choice::All), zone("a.b", vec![(0, Name::default())], Choice::Or)];
    let version = Version::Text("v".into());
    let mut store =
        Store::new(Plan { datasets, zones, access: None, never: NeverList::empty(), version, cookies: Cookies::Own });
    for event in store.load(NOW) {
        let loaded = event.result.expect("the lists are right");
        assert!(loaded.report.problems.is_empty(), "{:?}", loaded.report.problems);
    }
    let snapshot = store.snapshot().expect("the zones can be made");
    (store, snapshot)
}

/// One list on its own in a zone `b`; none if it cannot be loaded.
pub(crate) fn snapshot_of(format: Format, path: &Path) -> Option<Snapshot> {
    let datasets = vec![dataset("list", format, path)];
    let zones = vec![zone("b", vec![(0, Name::default())], Choice::All)];
    let never = NeverList::with_own(&[]);
    let mut store =
        Store::new(Plan { datasets, zones, access: None, never, version: Version::Refused, cookies: Cookies::Off });
    store.load(NOW).into_iter().all(|event| event.result.is_ok()).then(|| store.snapshot().ok())?
}

pub(crate) fn dataset(name: &str, format: Format, path: &Path) -> Spec {
    let key = (format == Format::Hashes).then_some(KEY);
    Spec {
        name: name.to_owned(),
        format,
        files: vec![path.to_owned()],
        emitted: None,
        reading: Reading { key, ..Reading::default() },
        defaults: Defaults::default(),
        bad_lines: BadLines::Skip,
        min_entries: 0,
        bounds: infamy::dataset::Bounds::NONE,
        heeds_never_list: true,
        ttl_bounds: 0..=u32::MAX,
    }
}

fn zone(apex: &str, datasets: Vec<(usize, Name)>, choice: Choice) -> ZonePlan {
    let name = |text: &str| Name::parse(text.as_bytes()).expect("a name");
    let spec = ZoneSpec {
        apex: name(apex),
        soa: None,
        ns: None,
        own_addresses: vec![[198, 51, 100, 53].into()],
        least_serial: 1,
        ttl: 300,
        choice,
        ns_in_authority: apex != "b",
        test_entries: TestEntries::Synthesised,
        others: vec![name("b"), name("a.b")],
    };
    ZonePlan { spec, datasets, allow: Vec::new(), access: None, keys: None, terms: Default::default() }
}

/// When everything happens.
pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
/// The digests of the hash list.
pub(crate) const KEY: KeyShape = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Hex, characters: 8 };

/// A list of every kind.
pub(crate) const LISTS: &[(&str, Format, &str)] = &[
    ("four", Format::Ip4Set, ":127.0.0.2:why $ $1\n$1 one\n1.2.3.0/24\n2-9\n3.0.0.1 :3:\n!1.2.3.7\n"),
    ("trie", Format::Ip4Trie, "$TTL 60\n1.2.0.0/16 :4:trie $\n!1.2.4.0/22\n"),
    ("six", Format::Ip6Trie, ":5:six $\n2001:db8::/33\n!2001:db8:1::/48\n1234::/15\n"),
    ("names", Format::Dnset, ":6:name $\n.d\n!e.d\n*.f.d\nx.y.z\n!.g.d\n"),
    ("hashes", Format::Hashes, "5d41402a\n00000000\n"),
    (
        "records",
        Format::Generic,
        "w A 198.51.100.1\nw A 198.51.100.2\nw TXT t\nc CNAME w.b\nl CNAME m.b\nm CNAME l.b\no CNAME o.example\ni CNAME 4.3.2.1.b\n\
         n NS q.n.b\nq.n A 198.51.100.3\nh.h AAAA 2001:db8::1\n2.1 MX 10 w.b\n@ TXT apex\n",
    ),
    ("parts", Format::Combined, "$DATASET ip4set p.q @\n1.1.1.1 :7:p\n$DATASET dnset r\n.s :8:r\n"),
];
