//! Datasets and zones made for a test: list files in a folder that goes away, loaded as the server loads them.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use infamy::answer::{DropReason, Outcome, Transport, respond};
use infamy::dataset::{BadLines, Defaults, NeverList, Spec};
use infamy::dnsxl::Name;
use infamy::feed::{Compression, Format, Reading};
use infamy::reload::{Cookies, Plan, Store, ZonePlan};
use infamy::snapshot::{Snapshot, Version};
use infamy::zone::{Choice, TestEntries, UnixTime, ZoneSpec};
use tempfile::TempDir;

/// What is to be served, while it is put together.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) plan: Plan,
}

impl World {
    /// Nothing, and no never-list.
    pub(crate) fn new() -> Self {
        let plan = Plan {
            datasets: Vec::new(),
            zones: Vec::new(),
            access: None,
            never: NeverList::empty(),
            version: Version::Refused,
            cookies: Cookies::Off,
        };
        Self { folder: tempfile::tempdir().unwrap(), plan }
    }

    /// Adds a dataset of one file; its index.
    pub(crate) fn dataset(&mut self, name: &str, format: Format, text: &str) -> usize {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        // as files of keys have to be
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let reading = Reading { compression: Compression::Off, ..Reading::default() };
        self.plan.datasets.push(Spec {
            name: name.to_owned(),
            format,
            files: vec![path],
            emitted: None,
            reading,
            defaults: Defaults::default(),
            bad_lines: BadLines::Skip,
            min_entries: 0,
            bounds: infamy::dataset::Bounds::NONE,
            ttl_bounds: 0..=u32::MAX,
            heeds_never_list: true,
        });
        self.plan.datasets.len() - 1
    }

    /// Adds a zone over datasets, each at the apex or below a name.
    pub(crate) fn zone(&mut self, apex: &str, datasets: &[(usize, &str)]) -> &mut ZonePlan {
        let spec = ZoneSpec {
            apex: name(apex),
            soa: None,
            ns: None,
            own_addresses: Vec::new(),
            least_serial: 0,
            ttl: ZONE_TTL,
            choice: Choice::All,
            ns_in_authority: false,
            test_entries: TestEntries::Synthesised,
            others: Vec::new(),
        };
        let datasets = datasets.iter().map(|&(index, under)| (index, name(under))).collect();
        self.plan.zones.push(ZonePlan {
            spec,
            datasets,
            allow: Vec::new(),
            access: None,
            keys: None,
            terms: Default::default(),
        });
        self.plan.zones.last_mut().unwrap()
    }

    /// Loads everything; what it had to say, and the generation.
    pub(crate) fn load(self) -> (Vec<String>, Snapshot) {
        let (said, mut store) = self.store();
        (said, store.snapshot().unwrap())
    }

    /// As [`Self::load`], with what generations are made of.
    pub(crate) fn store(self) -> (Vec<String>, Store) {
        let mut plan = self.plan;
        let apexes: Vec<Name> = plan.zones.iter().map(|zone| zone.spec.apex.clone()).collect();
        for zone in &mut plan.zones {
            zone.spec.others = apexes.iter().filter(|apex| **apex != zone.spec.apex).cloned().collect();
        }
        let mut store = Store::new(plan);
        let mut said = Vec::new();
        for event in store.load(NOW) {
            match event.result {
                Ok(loaded) => said.extend(loaded.report.problems.iter().map(ToString::to_string)),
                Err(error) => said.push(format!("not loaded: {error}")),
            }
        }
        (said, store)
    }
}

/// What `respond` says to a query: the reply, or why there is none.
pub(crate) fn ask(
    snapshot: &Snapshot,
    query: &[u8],
    client: IpAddr,
    transport: Transport,
    now: UnixTime,
) -> Result<Vec<u8>, DropReason> {
    let mut out = vec![0; usize::from(u16::MAX)];
    match respond(snapshot, query, client, transport, now, &mut out) {
        Outcome::Reply { length, .. } => {
            out.truncate(length);
            Ok(out)
        }
        Outcome::Drop(reason) => Err(reason),
    }
}

/// How many random cases a test has: `INFAMY_LONG` has it twenty times the usual.
pub(crate) fn cases(usual: u32) -> u32 {
    if std::env::var_os("INFAMY_LONG").is_some() { 20 * usual } else { usual }
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

/// The time at which tests load and ask, unless they say otherwise.
pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
/// Seconds.
pub(crate) const ZONE_TTL: u32 = 2100;
