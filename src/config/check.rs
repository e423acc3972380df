//! From the configuration as it is written to one that can be served.
//!
//! Invariant: every reference between datasets, zones and access lists is an index when this is done.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::Config;
use super::error::{ConfigError, Problem, Source, Warning};
use super::spec::{self, FormatName, Spec};
use super::start::Needs;
use super::{Judging, abuse, verdicts};
use crate::dataset::compiled::format_of;
use crate::dataset::{self, Bounds, Defaults, NeverList};
use crate::dnsxl::{Alphabet, HashKind, KeyShape, Name, name};
use crate::feed::{Compression, Format, Lines, NsLine, Reading, Scope, SoaLine};
use crate::neighborhood::listings::Standing;
use crate::reload::{Plan, ZonePlan};
use crate::server::privileges::Confinement;
use crate::server::{CertificatePaths, Encrypted, Limits, Listen};
use crate::snapshot::Version;
use crate::table::file::is_compiled_file;
use crate::zone::{Choice, RefuseWith, Terms, TestEntries, ZoneSpec};

/// Checks a configuration.
pub(super) fn check(spec: Spec, source: &Source<'_>) -> Result<Config, ConfigError> {
    let control = super::control::check(&spec, source)?;
    let page = super::page::check(&spec.page, source)?;
    let judging = super::neighborhood::check(&spec.evidence, &spec.neighborhood, control.store.clone(), source)?;
    let mut checker = Checker { spec: &spec, source, judging: &judging, warnings: Vec::new(), indexes: HashMap::new() };
    let listen = checker.listen()?;
    let confinement = checker.confinement()?;
    let plan = checker.plan(&listen)?;
    let mut warnings = checker.warnings;
    warnings.extend(control.warning);
    Ok(Config {
        path: source.path.to_owned(),
        listen,
        confinement,
        pid_file: spec.server.pid_file.as_deref().map(|path| at(source, path)),
        state_directory: spec.server.state_directory.as_deref().map(|path| at(source, path)),
        watch: Some(Duration::from_secs(spec.server.watch.0.into())).filter(|every| !every.is_zero()),
        query_log: super::logs::query_log(&spec, source),
        dnstap: super::logs::dnstap(&spec, source),
        control: control.listen,
        page,
        store: control.store,
        retention: control.retention,
        plan,
        judging,
        warnings,
        needs: Needs::of(&spec, source),
        spec,
    })
}

/// A path of the file, which is relative to the file's folder.
pub(super) fn at(source: &Source<'_>, path: &Path) -> PathBuf {
    source.path.parent().unwrap_or_else(|| Path::new("")).join(path)
}

struct Checker<'c> {
    spec: &'c Spec,
    source: &'c Source<'c>,
    judging: &'c Judging,
    warnings: Vec<Warning>,
    /// The datasets by name.
    indexes: HashMap<&'c str, usize>,
}

impl<'c> Checker<'c> {
    fn wrong<T>(&self, place: &Spanned<T>, problem: Problem) -> ConfigError {
        self.source.wrong(&place.span(), problem)
    }

    fn warn<T>(&mut self, place: &Spanned<T>, what: String) {
        self.warnings.push(Warning { place: self.source.place(&place.span()), what });
    }

    fn listen(&self) -> Result<Listen, ConfigError> {
        let spec::Listen { addresses, udp_workers, tls, https, quic } = &self.spec.listen;
        let limits = &self.spec.limits;
        for (key, limit) in [
            ("tcp-connections", limits.tcp_connections),
            ("tcp-connections-per-client", limits.tcp_connections_per_client),
            ("streams-per-connection", limits.streams_per_connection),
            ("tcp-idle", limits.tcp_idle.0 as usize),
        ] {
            if limit == 0 {
                return Err(self.source.wrong_key("limits", key, Problem::NoRoom { section: "limits", key }));
            }
        }
        if addresses.is_empty() && [tls, https, quic].iter().all(|door| door.is_none()) {
            return Err(self.source.wrong_key("listen", "addresses", Problem::NoAddresses));
        }
        // QUIC has the datagrams of an address, the others its streams, and the plain door both
        for doors in [&[tls, https][..], &[quic]] {
            let encrypted = doors.iter().filter_map(|door| door.as_ref()).flat_map(|door| &door.addresses);
            let all: Vec<_> = addresses.iter().chain(encrypted).filter(|address| address.port() != 0).collect();
            if let Some(twice) = all.iter().enumerate().find(|(index, address)| all[..*index].contains(address)) {
                let problem = Problem::AddressTwice { address: twice.1.to_string() };
                return Err(self.source.wrong_key("listen", "addresses", problem));
            }
        }
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let encrypted = |door: &Option<spec::Encrypted>| {
            door.as_ref().map(|door| Encrypted {
                addresses: door.addresses.clone(),
                certificate: CertificatePaths {
                    chain: at(self.source, &door.certificate),
                    key: at(self.source, &door.key),
                },
            })
        };
        Ok(Listen {
            rate_limits: abuse::rate_limits(&self.spec.rate_limit, self.source)?,
            plain: addresses.clone(),
            encrypted: encrypted(tls),
            https: encrypted(https),
            quic: encrypted(quic),
            udp_workers: if *udp_workers == 0 { processors() } else { *udp_workers },
            limits: Limits {
                connections: limits.tcp_connections,
                connections_per_client: limits.tcp_connections_per_client,
                streams: limits.streams_per_connection,
                idle: Duration::from_secs(limits.tcp_idle.0.into()),
            },
        })
    }

    fn confinement(&self) -> Result<Confinement, ConfigError> {
        let spec::Server { user, group, chroot, .. } = &self.spec.server;
        let user = match (user, group) {
            (Some(user), Some(group)) => Some(format!("{user}:{group}")),
            (None, Some(_)) => return Err(self.source.wrong_key("server", "group", Problem::GroupAlone)),
            (user, None) => user.clone(),
        };
        Ok(Confinement { user, root: chroot.as_deref().map(|root| at(self.source, root)), directory: None })
    }

    fn plan(&mut self, listen: &Listen) -> Result<Plan, ConfigError> {
        let spec = self.spec;
        let never = &spec.never_list;
        let own: Vec<_> = never.own.iter().map(|net| net.0).collect();
        let never = if never.enabled { NeverList::with_own(&own) } else { NeverList::empty() };
        let standing = verdicts::standing(spec, self.judging, &never, self.source);
        let mut datasets = Vec::new();
        for dataset in &spec.dataset {
            datasets.push(self.dataset(dataset, &standing)?);
        }
        let access = self.access("server", spec.server.access.as_ref(), &datasets)?;
        let mut zones = Vec::new();
        for zone in &spec.zone {
            zones.push(self.zone(zone, &datasets, listen)?);
        }
        self.check_apexes()?;
        let is_used = |index| {
            let of_zone = |zone: &ZonePlan| {
                let clients = zone.access.iter().chain(&zone.keys);
                let mut all = clients.chain(&zone.allow).chain(zone.datasets.iter().map(|(index, _)| index));
                all.any(|&used| used == index)
            };
            access == Some(index) || zones.iter().any(of_zone)
        };
        for (index, dataset) in spec.dataset.iter().enumerate() {
            if !is_used(index) {
                self.warn(&dataset.name, format!("dataset {}: no zone uses it", dataset.name.get_ref()));
            }
        }
        Ok(Plan {
            datasets,
            zones,
            access,
            never,
            version: spec.server.version_text.clone().map_or(Version::Refused, Version::Text),
            cookies: abuse::cookies(&spec.cookies, self.source)?,
        })
    }

    fn check_apexes(&self) -> Result<(), ConfigError> {
        let mut first = HashMap::new();
        for zone in &self.spec.zone {
            let line = self.source.line(zone.apex.span().start);
            let apex = zone.apex.get_ref().0.to_lowercase();
            let name = apex.to_string();
            if let Some(first) = first.insert(apex, line) {
                return Err(self.wrong(&zone.apex, Problem::Twice { kind: "zone", name, first }));
            }
        }
        Ok(())
    }

    fn dataset(&mut self, spec: &'c spec::Dataset, standing: &Arc<Standing>) -> Result<dataset::Spec, ConfigError> {
        let name = spec.name.get_ref();
        let wrong = |problem| self.wrong(&spec.name, problem);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(wrong(Problem::DatasetName { name: name.clone() }));
        }
        if let Some(&first) = self.indexes.get(name.as_str()) {
            let first = self.source.line(self.spec.dataset[first].name.span().start);
            return Err(wrong(Problem::Twice { kind: "dataset", name: name.clone(), first }));
        }
        self.indexes.insert(name, self.indexes.len());
        verdicts::check_keys(spec, self.source)?;
        if spec.kind != spec::Kind::List {
            return verdicts::dataset(spec, Arc::clone(standing), self.source);
        }
        let files: Vec<PathBuf> = spec.files.0.iter().map(|path| at(self.source, Path::new(path))).collect();
        let Some(first) = files.first() else {
            return Err(self.wrong(&spec.name, Problem::NoFiles { dataset: name.clone() }));
        };
        let compiled = files.iter().find(|path| is_compiled_file(path));
        let format = match (spec.format, compiled) {
            (Some(FormatName(format)), _) => format,
            (None, Some(path)) => format_of(path).map_err(|error| {
                let why = error.to_string();
                self.wrong(&spec.name, Problem::Unreadable { dataset: name.clone(), why })
            })?,
            (None, None) => self.recognise(first, &spec.name)?,
        };
        match compiled {
            Some(path) if files.len() > 1 => {
                let path = path.display().to_string();
                return Err(self.wrong(&spec.name, Problem::CompiledBeside { dataset: name.clone(), path }));
            }
            Some(_) => self.check_compiled_keys(spec)?,
            None => self.check_keys(spec, format)?,
        }
        if !spec.value.is_loopback() {
            self.warn(
                &spec.name,
                format!(
                    "dataset {name}: value: {} is outside 127.0.0.0/8 (RFC 5782, 2.3): clients ignore it",
                    spec.value
                ),
            );
        }
        let text = spec.text.as_ref().map(|text| text.as_bytes().into());
        // around each entry's own text; an entry without one has an empty text, for which `$=` is the subject
        let (text, base) = match &spec.text {
            Some(written) if written.contains("$=") => (Some([].into()), text),
            _ => (text, None),
        };
        let scope = |scope| match scope {
            spec::Match::Exact => Scope::Exact,
            spec::Match::Below => Scope::Below,
            spec::Match::Both => Scope::Both,
        };
        Ok(dataset::Spec {
            name: name.clone(),
            format,
            files,
            emitted: None,
            reading: Reading {
                host_bits: spec.host_bits,
                compression: Compression::Detect,
                scope: spec.r#match.map(scope),
                key: self.key(spec)?,
                online_only: spec.online_only,
                copy: spec.memory == spec::Memory::Copy,
                ..Reading::default()
            },
            defaults: Defaults { a: spec.value, text, base, ttl: spec.ttl.map(|ttl| ttl.0), ..Defaults::default() },
            bad_lines: match spec.bad_lines {
                spec::BadLines::Skip => dataset::BadLines::Skip,
                spec::BadLines::Refuse => dataset::BadLines::Refuse,
            },
            min_entries: spec.min_entries,
            bounds: Bounds { max_shrink: spec.max_shrink.0, max_growth: spec.max_growth.0 },
            ttl_bounds: 0..=u32::MAX,
            heeds_never_list: spec.never_list,
        })
    }

    /// The format of a list that has unmistakable marks.
    fn recognise(&self, path: &Path, name: &Spanned<String>) -> Result<Format, ConfigError> {
        let dataset = || name.get_ref().clone();
        let unreadable = |why: String| self.wrong(name, Problem::Unreadable { dataset: dataset(), why });
        let mut lines = Lines::open(path, Compression::Detect).map_err(|error| unreadable(error.to_string()))?;
        let first = lines.next_line().map_err(|error| unreadable(error.to_string()))?;
        first.and_then(|(_, line)| Format::recognise(line.ok()?)).ok_or_else(|| {
            let (path, formats) = (path.display().to_string(), FormatName::all());
            self.wrong(name, Problem::NoFormat { dataset: dataset(), path, formats })
        })
    }

    /// Keys that say how lists are read mean nothing where a file was compiled.
    fn check_compiled_keys(&self, spec: &spec::Dataset) -> Result<(), ConfigError> {
        let keys = [
            ("match", spec.r#match.is_some()),
            ("value", spec.value != spec::default_value()),
            ("text", spec.text.is_some()),
            ("ttl", spec.ttl.is_some()),
            ("bad-lines", spec.bad_lines != spec::BadLines::default()),
            ("key", spec.key.is_some()),
            ("host-bits", spec.host_bits),
            ("online-only", spec.online_only),
        ];
        match keys.into_iter().find(|(_, is_given)| *is_given) {
            Some((key, _)) => {
                let dataset = spec.name.get_ref().clone();
                Err(self.wrong(&spec.name, Problem::CompiledIn { dataset, key }))
            }
            None => Ok(()),
        }
    }

    /// Keys that only some formats have a use for.
    fn check_keys(&self, spec: &spec::Dataset, format: Format) -> Result<(), ConfigError> {
        let of_rbldnsd = matches!(
            format,
            Format::Ip4Set | Format::Ip4Tset | Format::Ip4Trie | Format::Ip6Tset | Format::Ip6Trie | Format::Combined
        );
        let hashed = matches!(format, Format::Hashes | Format::Urls | Format::Urlhaus);
        let named = matches!(format, Format::Plain | Format::Hosts | Format::Urls | Format::Urlhaus);
        let keys = [
            ("host-bits", spec.host_bits, of_rbldnsd, "ip4set, ip4tset, ip4trie, ip6tset, ip6trie, combined"),
            ("key", spec.key.is_some(), hashed, "hashes, urls, urlhaus"),
            ("match", spec.r#match.is_some(), named, "plain, hosts, urls, urlhaus"),
            ("online-only", spec.online_only, format == Format::Urlhaus, "urlhaus"),
        ];
        let dataset = || spec.name.get_ref().clone();
        for (key, is_given, has_use, formats) in keys {
            if is_given && !has_use {
                let format = FormatName::of(format);
                return Err(self.wrong(&spec.name, Problem::NotForFormat { dataset: dataset(), key, format, formats }));
            }
        }
        if format == Format::Hashes && spec.key.is_none() {
            return Err(self.wrong(&spec.name, Problem::NoKey { dataset: dataset() }));
        }
        Ok(())
    }

    fn key(&self, spec: &spec::Dataset) -> Result<Option<KeyShape>, ConfigError> {
        let Some(key) = spec.key else { return Ok(None) };
        let hash = match key.hash {
            spec::Hash::Md5 => HashKind::Md5,
            spec::Hash::Sha1 => HashKind::Sha1,
            spec::Hash::Sha256 => HashKind::Sha256,
        };
        let alphabet = match key.alphabet {
            spec::Alphabet::Hex => Alphabet::Hex,
            spec::Alphabet::Base32 => Alphabet::Base32,
            spec::Alphabet::Zbase32 => Alphabet::ZBase32,
        };
        let most = KeyShape::whole(hash, alphabet).min(name::MAX_LABEL);
        let characters = key.characters.unwrap_or(most as u8);
        let shape = KeyShape { hash, alphabet, characters };
        if !shape.is_possible() {
            let dataset = spec.name.get_ref().clone();
            return Err(self.wrong(&spec.name, Problem::KeyLength { dataset, characters, most }));
        }
        Ok(Some(shape))
    }

    fn find(&self, by: &str, name: &str, place: &Spanned<impl Sized>) -> Result<usize, ConfigError> {
        self.indexes.get(name).copied().ok_or_else(|| {
            let known = self.spec.dataset.iter().map(|dataset| dataset.name.get_ref().clone()).collect();
            self.wrong(place, Problem::Missing { by: by.to_owned(), name: name.to_owned(), known })
        })
    }

    /// The dataset of that name, which has to be of that format.
    fn find_of(
        &self,
        by: &str,
        name: Option<&Spanned<String>>,
        (datasets, format): (&[dataset::Spec], Format),
        problem: impl FnOnce(String, String) -> Problem,
    ) -> Result<Option<usize>, ConfigError> {
        let Some(name) = name else { return Ok(None) };
        let index = self.find(by, name.get_ref(), name)?;
        if datasets[index].format != format {
            return Err(self.wrong(name, problem(by.to_owned(), name.get_ref().clone())));
        }
        Ok(Some(index))
    }

    fn access(
        &self,
        by: &str,
        name: Option<&Spanned<String>>,
        datasets: &[dataset::Spec],
    ) -> Result<Option<usize>, ConfigError> {
        self.find_of(by, name, (datasets, Format::Acl), |by, name| Problem::ListAsAccess { by, name })
    }

    fn terms(spec: &spec::Zone) -> Terms {
        let refuse_with = match spec.refuse_with {
            spec::RefuseWith::Refused => RefuseWith::Refused,
            spec::RefuseWith::Nxdomain => RefuseWith::NxDomain,
            spec::RefuseWith::Drop => RefuseWith::Drop,
            spec::RefuseWith::Code => RefuseWith::Code,
        };
        Terms { refuse_with, quota: spec.quota.0, key_quota: spec.key_quota.0 }
    }

    fn zone(
        &mut self,
        spec: &spec::Zone,
        datasets: &[dataset::Spec],
        listen: &Listen,
    ) -> Result<ZonePlan, ConfigError> {
        let apex = &spec.apex.get_ref().0;
        if apex.is_root() {
            return Err(self.wrong(&spec.apex, Problem::RootApex));
        }
        if spec.datasets.is_empty() {
            return Err(self.wrong(&spec.apex, Problem::NoDatasets { zone: apex.to_string() }));
        }
        let by = format!("zone {apex}");
        let access = self.access(&by, spec.access.as_ref(), datasets)?;
        let of_keys = (datasets, Format::Keys);
        let keys = self.find_of(&by, spec.keys.as_ref(), of_keys, |by, name| Problem::ListAsKeys { by, name })?;
        let mut allow = Vec::new();
        for name in &spec.allow {
            let index = self.find(&by, name.get_ref(), name)?;
            let dataset = &datasets[index];
            if matches!(dataset.format, Format::Acl | Format::Generic | Format::Keys) && dataset.emitted.is_none() {
                let (zone, name_of) = (apex.to_string(), name.get_ref().clone());
                return Err(self.wrong(name, Problem::NothingToAllow { zone, name: name_of }));
            }
            allow.push(index);
        }
        let mut placed: Vec<(usize, Name)> = Vec::new();
        for placement in &spec.datasets {
            let spec::Placement { name, under } = placement.get_ref();
            let index = self.find(&by, name, placement)?;
            let (zone, name) = (apex.to_string(), name.clone());
            if datasets[index].format == Format::Acl {
                return Err(self.wrong(placement, Problem::AccessAsList { zone, name }));
            }
            if datasets[index].format == Format::Keys {
                return Err(self.wrong(placement, Problem::KeysAsList { zone, name }));
            }
            let place = (index, under.0.to_lowercase());
            if placed.contains(&place) {
                return Err(self.wrong(placement, Problem::PlacedTwice { zone, name }));
            }
            if let Some(label) = name::labels(place.1.as_wire()).find(|label| is_like_address(label)) {
                let what = format!(
                    "{by}: under: `{}` could be taken for a part of an address: two characters or more, not all digits (RFC 5782, 2.3)",
                    String::from_utf8_lossy(label)
                );
                self.warn(placement, what);
            }
            placed.push(place);
        }
        let own_addresses: Vec<_> =
            listen.plain.iter().map(|address| address.ip()).filter(|address| !address.is_unspecified()).collect();
        if spec.ns.is_none() && own_addresses.is_empty() && !is_from_rbldnsd(&placed, datasets) {
            let what =
                format!("{by}: ns: not given, and ns.{apex} has no address as all are listened on; write ns = [\"…\"]");
            self.warn(&spec.apex, what);
        }
        if keys.is_none() && spec.key_quota.0.is_bound() {
            self.warn(&spec.apex, format!("{by}: key-quota: means nothing without keys; name some, or leave it out"));
        }
        let is_open = access.is_none() && keys.is_none() && self.spec.server.access.is_none();
        if is_open && !spec.quota.0.is_bound() && spec.refuse_with != spec::RefuseWith::default() {
            let what = format!("{by}: refuse-with: nobody is refused without access, keys or quota; leave it out");
            self.warn(&spec.apex, what);
        }
        let zone = ZoneSpec {
            soa: spec.soa.as_ref().map(|soa| soa_line(soa, spec)),
            ns: spec.ns.as_ref().map(|ns| NsLine { ttl: 0, names: ns.iter().map(|name| name.0.clone()).collect() }),
            own_addresses,
            least_serial: 0,
            ttl: spec.ttl.0,
            choice: match spec.choice {
                spec::Choice::All => Choice::All,
                spec::Choice::One => Choice::One,
                spec::Choice::Or => Choice::Or,
            },
            ns_in_authority: spec.ns_in_authority,
            test_entries: if spec.test_entries { TestEntries::Synthesised } else { TestEntries::AsWritten },
            others: self
                .spec
                .zone
                .iter()
                .map(|zone| &zone.apex.get_ref().0)
                .filter(|other| *other != apex)
                .cloned()
                .collect(),
            apex: apex.clone(),
        };
        Ok(ZonePlan { spec: zone, datasets: placed, allow, access, keys, terms: Self::terms(spec) })
    }
}

/// Whether a dataset of the zone may name the servers itself, by a `$NS` line or a record.
fn is_from_rbldnsd(placed: &[(usize, Name)], datasets: &[dataset::Spec]) -> bool {
    let formats = placed.iter().map(|(index, _)| datasets[*index].format);
    let mut of_others = formats.map(|format| {
        matches!(format, Format::Plain | Format::Hosts | Format::Urls | Format::Urlhaus | Format::Drop | Format::Hashes)
    });
    !of_others.all(|is_of_others| is_of_others)
}

/// RFC 5782, section 2.3: names of lists within a list should not look like octets or nibbles.
pub(crate) fn is_like_address(label: &[u8]) -> bool {
    label.len() < 2 || label.iter().all(u8::is_ascii_digit)
}

fn soa_line(soa: &spec::Soa, zone: &spec::Zone) -> SoaLine {
    let apex = &zone.apex.get_ref().0;
    let own = |label: &[u8]| Name::parse(label).and_then(|name| name.under(apex)).unwrap_or_default();
    let first_ns = || zone.ns.as_ref().and_then(|ns| ns.first()).cloned();
    SoaLine {
        ttl: soa.ttl.map_or(0, |ttl| ttl.0),
        origin: soa.mname.clone().or_else(first_ns).map_or_else(|| own(b"ns"), |name| name.0),
        person: soa.rname.clone().map_or_else(|| own(b"hostmaster"), |name| name.0),
        serial: soa.serial,
        refresh: soa.refresh.0,
        retry: soa.retry.0,
        expire: soa.expire.0,
        minimum: soa.minimum.0,
    }
}
