//! `[cookies]` and `[rate-limit]`: what is done about queries whose address is forged, and about too many of them.
//!
//! Invariant: secrets are in files of their own, which others cannot read, and in no message.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde::Deserialize;

use super::check::at;
use super::error::{ConfigError, Problem, Source};
use super::values::{OneOrMany, Seconds};
use crate::cookie::{MAX_SECRETS, Secret, Secrets};
use crate::dataset::{file_at, open_to_others};
use crate::feed::SystemError;
use crate::reload::Cookies;
use crate::server::RateLimits;

/// `[cookies]`: DNS Cookies (RFC 7873).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CookieSpec {
    /// Whether clients that send a cookie get one.
    pub enabled: bool,
    /// Files of secrets, where servers of one address share some.
    pub secrets: OneOrMany,
}

/// `[rate-limit]`: how many replies alike go to one network over UDP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RateLimitSpec {
    /// Replies with records, of one name and type.
    pub responses_per_second: u32,
    /// NODATA of one name; as the first, if none is written.
    pub nodata_per_second: Option<u32>,
    /// NXDOMAIN of one zone.
    pub nxdomains_per_second: u32,
    /// Errors; as the first, if none is written.
    pub errors_per_second: Option<u32>,
    /// Replies of all kinds; beyond it none is sent short.
    pub all_per_second: u32,
    /// How long somebody who went beyond it is held to it at most.
    pub window: Seconds,
    /// Every which of the replies that are too many is sent short.
    pub slip: u8,
    /// How long the prefix is that is one client.
    pub ipv4_prefix: u8,
    /// The same for IPv6.
    pub ipv6_prefix: u8,
    /// How many networks and kinds of reply are known at once.
    pub table_size: usize,
    /// Whether it is only counted what would not be sent.
    pub dry_run: bool,
}

impl Default for CookieSpec {
    fn default() -> Self {
        Self { enabled: true, secrets: OneOrMany::default() }
    }
}

impl Default for RateLimitSpec {
    fn default() -> Self {
        let limits = RateLimits::default();
        Self {
            responses_per_second: limits.positive,
            nodata_per_second: None,
            nxdomains_per_second: limits.nxdomain,
            errors_per_second: None,
            all_per_second: limits.all,
            window: Seconds(limits.window),
            slip: limits.slip,
            ipv4_prefix: limits.ipv4_prefix,
            ipv6_prefix: limits.ipv6_prefix,
            table_size: limits.table_size,
            dry_run: limits.dry_run,
        }
    }
}

/// Checks `[rate-limit]`; none if nothing is bounded.
pub(super) fn rate_limits(spec: &RateLimitSpec, source: &Source<'_>) -> Result<Option<RateLimits>, ConfigError> {
    let limits = RateLimits {
        positive: spec.responses_per_second,
        nodata: spec.nodata_per_second.unwrap_or(spec.responses_per_second),
        nxdomain: spec.nxdomains_per_second,
        error: spec.errors_per_second.unwrap_or(spec.responses_per_second),
        all: spec.all_per_second,
        window: spec.window.0,
        slip: spec.slip,
        ipv4_prefix: spec.ipv4_prefix,
        ipv6_prefix: spec.ipv6_prefix,
        table_size: spec.table_size,
        dry_run: spec.dry_run,
    };
    match limits.check() {
        Ok(()) => Ok(Some(limits).filter(RateLimits::bounds_anything)),
        Err((key, range)) => Err(source.wrong_key("rate-limit", key, Problem::RateLimit { key, range })),
    }
}

/// Checks `[cookies]`, and reads the secrets.
pub(super) fn cookies(spec: &CookieSpec, source: &Source<'_>) -> Result<Cookies, ConfigError> {
    if !spec.enabled {
        return Ok(Cookies::Off);
    }
    let mut secrets = Vec::new();
    for path in &spec.secrets.0 {
        let path = at(source, path.as_ref());
        let place = || source.place_of("cookies", "secrets");
        read(&path, &mut secrets).map_err(|why| ConfigError::Secrets { place: place(), path, why })?;
    }
    if spec.secrets.0.is_empty() {
        return Ok(Cookies::Own);
    }
    let found = secrets.len();
    if !(1..=MAX_SECRETS).contains(&found) {
        return Err(source.wrong_key("cookies", "secrets", Problem::Secrets { found }));
    }
    Ok(Cookies::Shared(Secrets::new(secrets)))
}

fn read(path: &PathBuf, secrets: &mut Vec<Secret>) -> Result<(), String> {
    let failed = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => format!("{why}: make it, with a line of `openssl rand -hex 16`, and `chmod 640` it"),
        _ => SystemError(&why).to_string(),
    };
    file_at(path).map_err(failed)?;
    let file = File::open(path).map_err(failed)?;
    if let Some(mode) = open_to_others(&file.metadata().map_err(failed)?) {
        return Err(format!("mode {mode:03o} lets others in: `chmod 640` it"));
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text).map_err(failed)?;
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let secret = Secret::parse(line);
        secrets.push(secret.ok_or_else(|| format!("line {number} is no secret: write 32 hexadecimal digits"))?);
    }
    Ok(())
}

/// The longest file in bytes: it has a few lines.
const MOST_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const ONE: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const TWO: &str = "445536bcd2513298075a5d379663c962";

    fn parse(folder: &Path, rest: &str) -> Result<Config, String> {
        let text = format!("version = 1\n{rest}");
        Config::parse(&text, &folder.join("infamy.toml")).map_err(|error| error.to_string())
    }

    fn put(folder: &Path, name: &str, text: &str, mode: u32) {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn secrets_come_from_files_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "one", &format!("# in use\n{ONE}\n"), 0o640);
        put(folder.path(), "two", &format!("{TWO}\n"), 0o600);
        let cookies = |rest: &str| parse(folder.path(), rest).unwrap().plan.cookies;
        assert_eq!(cookies(""), Cookies::Own);
        assert_eq!(cookies("[cookies]\nenabled = false\nsecrets = \"one\"\n"), Cookies::Off);
        let both = Secrets::new([ONE, TWO].map(|text| Secret::parse(text.as_bytes()).unwrap()));
        assert_eq!(cookies("[cookies]\nsecrets = [\"one\", \"two\"]\n"), Cookies::Shared(both));
    }

    #[test]
    fn a_secret_that_changed_is_another_configuration() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "one", ONE, 0o600);
        let before = parse(folder.path(), "[cookies]\nsecrets = \"one\"\n").unwrap();
        assert!(parse(folder.path(), "[cookies]\nsecrets = \"one\"\n").unwrap().says_what(&before));
        put(folder.path(), "one", &format!("{TWO}\n{ONE}\n"), 0o600);
        assert!(!parse(folder.path(), "[cookies]\nsecrets = \"one\"\n").unwrap().says_what(&before));
    }

    #[test]
    fn what_is_wrong_with_secrets_is_told_without_them() {
        let folder = tempfile::tempdir().unwrap();
        let five = [ONE; 5].join("\n");
        for (text, mode, why) in [
            (ONE, 0o644, "mode 644 lets others in"),
            (&*format!("{ONE}\n{ONE}0\n"), 0o600, "line 2 is no secret: write 32 hexadecimal digits"),
            ("# none\n", 0o600, "cookies: secrets: there are 0; write 1 to 4"),
            (&five, 0o600, "cookies: secrets: there are 5"),
        ] {
            put(folder.path(), "one", text, mode);
            let told = parse(folder.path(), "[cookies]\nsecrets = \"one\"\n").unwrap_err();
            assert!(told.contains(why) && !told.contains(&ONE[..8]), "{told}");
        }
        let told = parse(folder.path(), "[cookies]\nsecrets = \"none\"\n").unwrap_err();
        assert!(told.contains("infamy.toml:3: cookies: secrets: "), "{told}");
        assert!(told.contains("none: No such file or directory (os error 2): make it"), "{told}");
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let told = parse(folder.path(), "[cookies]\nsecrets = \"pipe\"\n").unwrap_err();
        assert!(told.ends_with("pipe: is a folder, pipe or device: write it to a file"), "{told}");
    }

    #[test]
    fn rates_are_off_unless_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let limits = |rest: &str| parse(folder.path(), rest).unwrap().listen.rate_limits;
        assert!(limits("").is_none());
        let on = limits("[rate-limit]\nresponses-per-second = 20\n").unwrap();
        assert_eq!((on.positive, on.nodata, on.nxdomain, on.error), (20, 20, 0, 20));
        assert_eq!((on.window, on.slip, on.ipv4_prefix, on.ipv6_prefix), (15, 2, 24, 56));
        for (rest, why) in [
            ("slip = 11", "rate-limit: slip: write 0 to 10"),
            ("ipv4-prefix = 33", "rate-limit: ipv4-prefix: write 1 to 32"),
            ("window = 0", "rate-limit: window: write 1 to 3600"),
            ("nxdomains-per-second = 500000", "rate-limit: nxdomains-per-second: write 0 to 100000"),
            ("table-size = 1", "rate-limit: table-size: write 1024 to"),
        ] {
            let told = parse(folder.path(), &format!("[rate-limit]\n{rest}\n")).unwrap_err();
            assert!(told.contains(&format!("infamy.toml:3: {why}")), "{told}");
        }
    }
}
