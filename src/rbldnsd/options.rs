//! rbldnsd's command line, read as getopt reads it.
//!
//! Invariant: what rbldnsd takes is taken and means the same; what is wrong is told in one line and nothing is started.
//! Names of hosts, users and files are only taken down here: nothing is looked up.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use nix::syslog::Facility;

use super::time::parse_time;
use crate::feed::Compression;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// The usage on stdout, and nothing else.
    Help,
    /// To serve.
    Serve(Box<Options>),
}

/// A command line.
#[derive(Debug)]
pub(super) struct Options {
    /// `-u`: `user` or `user:group`.
    pub(super) user: Option<String>,
    /// `-r`: the folder that becomes `/`.
    pub(super) root: Option<PathBuf>,
    /// `-w`: the working folder, inside the new root.
    pub(super) directory: Option<PathBuf>,
    /// `-b`: where to listen, as written.
    pub(super) bind: Vec<String>,
    /// `-4` or `-6`: the only kind of address that names stand for.
    pub(super) family: Option<Family>,
    /// `-t`.
    pub(super) ttl: Ttl,
    /// `-c`: how often files are looked at; never if zero.
    pub(super) check: Duration,
    /// `-e`.
    pub(super) host_bits: bool,
    /// `-q`.
    pub(super) quick: bool,
    /// `-p`.
    pub(super) pid_file: Option<PathBuf>,
    /// `-n`.
    pub(super) foreground: bool,
    /// `-l`.
    pub(super) query_log: Option<Output>,
    /// `-s`.
    pub(super) statistics: Option<Output>,
    /// Not `-a`.
    pub(super) ns_in_authority: bool,
    /// `-v` or `-vv`.
    pub(super) shown_version: ShownVersion,
    /// Not `-C`.
    pub(super) compression: Compression,
    /// `-F`.
    pub(super) facility: Facility,
    /// `-d`.
    pub(super) dump: bool,
    /// Zone specs, as written.
    pub(super) zones: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user: None,
            root: None,
            directory: None,
            bind: Vec::new(),
            family: None,
            ttl: Ttl { default: DEFAULT_TTL, least: 0, most: u32::MAX },
            check: DEFAULT_CHECK,
            host_bits: false,
            quick: false,
            pid_file: None,
            foreground: false,
            query_log: None,
            statistics: None,
            ns_in_authority: true,
            shown_version: ShownVersion::Full,
            compression: Compression::Detect,
            facility: Facility::LOG_DAEMON,
            dump: false,
            zones: Vec::new(),
        }
    }
}

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Ip4,
    Ip6,
}

/// Seconds: of values that do not say, and the bounds of those that do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ttl {
    pub(super) default: u32,
    pub(super) least: u32,
    pub(super) most: u32,
}

/// What `version.bind` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShownVersion {
    /// The program and its version.
    Full,
    /// The program.
    Name,
    /// REFUSED.
    Refused,
}

/// A file that lines go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// The file; none for stdout.
    pub(super) path: Option<PathBuf>,
    /// `+` in front: a query log is not buffered, statistics are what is new since the last line.
    pub(super) plus: bool,
}

/// A command line that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OptionError {
    #[error("invalid option -- '{0}'\nrbldnsd: type `rbldnsd -h' for help")]
    Unknown(char),
    #[error("option requires an argument -- '{0}'\nrbldnsd: type `rbldnsd -h' for help")]
    NoArgument(char),
    #[error("invalid {what} (-{option}) value `{found}'")]
    Value { what: &'static str, option: char, found: String },
    #[error("inconsistent def:min:max ttl: {default}:{least}:{most}")]
    Ttl { default: u32, least: u32, most: u32 },
    #[error("log facility {0} is not valid")]
    Facility(String),
    #[error("extension modules are not supported (-{0}): what they compute has to be in the list files")]
    Extension(char),
    #[error("no zone(s) to service specified (-h for help)")]
    NoZones,
    #[error("{0} is not text in UTF-8")]
    NotText(&'static str),
}

/// Reads a command line without the program's name.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, OptionError> {
    let mut options = Options::default();
    let mut arguments = arguments;
    let mut count = 0;
    while let Some(argument) = arguments.next() {
        count += 1;
        match argument.as_bytes() {
            b"--" => options.zones.extend(arguments.by_ref()),
            [b'-', letters @ ..] if !letters.is_empty() => {
                if options.parse_letters(letters, &mut arguments)? {
                    return Ok(Request::Help);
                }
            }
            // zone specs may stand between options
            _ => options.zones.push(argument),
        }
    }
    match (count, options.zones.is_empty()) {
        (0, _) => Ok(Request::Help),
        (_, true) => Err(OptionError::NoZones),
        _ => Ok(Request::Serve(options.into())),
    }
}

impl Options {
    /// Takes the options of one argument; true for `-h`.
    fn parse_letters(
        &mut self,
        mut letters: &[u8],
        more: &mut impl Iterator<Item = OsString>,
    ) -> Result<bool, OptionError> {
        while let Some((&letter, rest)) = letters.split_first() {
            letters = rest;
            let option = char::from(letter);
            match letter {
                b'h' => return Ok(true),
                b'4' => self.family = Some(Family::Ip4),
                b'6' => self.family = Some(Family::Ip6),
                b'e' => self.host_bits = true,
                b'q' => self.quick = true,
                b'n' => self.foreground = true,
                // asks for answers during a reload, which are never delayed here
                b'f' => {}
                b'a' => self.ns_in_authority = false,
                b'A' => self.ns_in_authority = true,
                b'd' => self.dump = true,
                b'C' => self.compression = Compression::Off,
                b'v' => {
                    self.shown_version = match self.shown_version {
                        ShownVersion::Full => ShownVersion::Name,
                        ShownVersion::Name | ShownVersion::Refused => ShownVersion::Refused,
                    }
                }
                b'u' | b'r' | b'w' | b'b' | b't' | b'c' | b'p' | b'l' | b's' | b'F' | b'x' | b'X' => {
                    let attached = (!rest.is_empty()).then(|| OsStr::from_bytes(rest).to_owned());
                    let value = attached.or_else(|| more.next()).ok_or(OptionError::NoArgument(option))?;
                    self.take(option, value)?;
                    return Ok(false);
                }
                _ => return Err(OptionError::Unknown(option)),
            }
        }
        Ok(false)
    }

    fn take(&mut self, option: char, value: OsString) -> Result<(), OptionError> {
        match option {
            'u' => self.user = Some(text(value, "the user (-u)")?),
            'r' => self.root = Some(value.into()),
            'w' => self.directory = Some(value.into()),
            'b' => self.bind.push(text(value, "the address (-b)")?),
            't' => self.ttl = parse_ttl(&text(value, "the ttl (-t)")?)?,
            'c' => {
                let found = text(value, "the check interval (-c)")?;
                let seconds = parse_time(found.as_bytes());
                let wrong = || OptionError::Value { what: "check interval", option, found: found.clone() };
                self.check = Duration::from_secs(seconds.ok_or_else(wrong)?.into());
            }
            'p' => self.pid_file = Some(value.into()),
            'l' => self.query_log = Some(parse_output(value)),
            's' => self.statistics = Some(parse_output(value)),
            'F' => self.facility = parse_facility(&text(value, "the facility (-F)")?)?,
            _ => return Err(OptionError::Extension(option)),
        }
        Ok(())
    }
}

fn text(value: OsString, what: &'static str) -> Result<String, OptionError> {
    value.into_string().map_err(|_| OptionError::NotText(what))
}

fn parse_ttl(found: &str) -> Result<Ttl, OptionError> {
    let mut fields = found.split(':');
    let mut next = |unsaid: u32| match fields.next() {
        None | Some("") => Some(unsaid),
        Some(field) => parse_time(field.as_bytes()),
    };
    let (default, least, most) = (next(DEFAULT_TTL), next(0), next(u32::MAX));
    let wrong = || OptionError::Value { what: "ttl", option: 't', found: found.to_owned() };
    let (Some(default), Some(least), Some(most), None) = (default, least, most, fields.next()) else {
        return Err(wrong());
    };
    if (least..=most).contains(&default) {
        Ok(Ttl { default, least, most })
    } else {
        Err(OptionError::Ttl { default, least, most })
    }
}

fn parse_output(value: OsString) -> Output {
    let bytes = value.into_vec();
    let (plus, path) = match bytes.split_first() {
        Some((b'+', path)) => (true, path),
        _ => (false, &*bytes),
    };
    Output { path: (path != b"-").then(|| OsStr::from_bytes(path).into()), plus }
}

fn parse_facility(name: &str) -> Result<Facility, OptionError> {
    let known = FACILITIES.iter().find(|(known, _)| *known == name);
    known.map(|&(_, facility)| facility).ok_or_else(|| OptionError::Facility(name.to_owned()))
}

/// Seconds.
const DEFAULT_TTL: u32 = 35 * 60;
const DEFAULT_CHECK: Duration = Duration::from_secs(60);
/// Those that the library does not know stand for the nearest that it does.
const FACILITIES: [(&str, Facility); 20] = [
    ("auth", Facility::LOG_AUTH),
    ("authpriv", Facility::LOG_AUTH),
    ("cron", Facility::LOG_DAEMON),
    ("daemon", Facility::LOG_DAEMON),
    ("ftp", Facility::LOG_DAEMON),
    ("kern", Facility::LOG_KERN),
    ("lpr", Facility::LOG_LPR),
    ("mail", Facility::LOG_MAIL),
    ("news", Facility::LOG_NEWS),
    ("syslog", Facility::LOG_SYSLOG),
    ("user", Facility::LOG_USER),
    ("uucp", Facility::LOG_UUCP),
    ("local0", Facility::LOG_LOCAL0),
    ("local1", Facility::LOG_LOCAL1),
    ("local2", Facility::LOG_LOCAL2),
    ("local3", Facility::LOG_LOCAL3),
    ("local4", Facility::LOG_LOCAL4),
    ("local5", Facility::LOG_LOCAL5),
    ("local6", Facility::LOG_LOCAL6),
    ("local7", Facility::LOG_LOCAL7),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, OptionError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn options(line: &str) -> Options {
        match read(line).unwrap() {
            Request::Serve(options) => *options,
            Request::Help => panic!("help"),
        }
    }

    #[test]
    fn letters_stand_together_and_values_are_attached_or_not() {
        let together = options("-neq4b127.0.0.1/5300 -t 1h:60:1d -c2m -l+log -s - -vv a:ip4set:f");
        assert!(together.foreground && together.host_bits && together.quick);
        assert_eq!(together.family, Some(Family::Ip4));
        assert_eq!(together.bind, ["127.0.0.1/5300"]);
        assert_eq!(together.ttl, Ttl { default: 3600, least: 60, most: 86_400 });
        assert_eq!(together.check, Duration::from_secs(120));
        assert_eq!(together.query_log, Some(Output { path: Some("log".into()), plus: true }));
        assert_eq!(together.statistics, Some(Output { path: None, plus: false }));
        assert_eq!(together.shown_version, ShownVersion::Refused);
        assert_eq!(together.zones, ["a:ip4set:f"]);
    }

    #[test]
    fn zones_stand_anywhere_and_after_two_dashes_everything_is_one() {
        let options = options("z:ip4set:f -n -- -y:ip4set:g");
        assert_eq!(options.zones, ["z:ip4set:f", "-y:ip4set:g"]);
        assert!(options.ns_in_authority);
        assert_eq!(options.ttl.default, 2100);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |line: &str| read(line).unwrap_err().to_string();
        assert_eq!(told("-n"), "no zone(s) to service specified (-h for help)");
        assert!(told("-Z a:b:c").starts_with("invalid option -- 'Z'"));
        assert!(told("a:b:c -b").starts_with("option requires an argument -- 'b'"));
        assert_eq!(told("-t 1x a:b:c"), "invalid ttl (-t) value `1x'");
        assert_eq!(told("-t 10:60:100 a:b:c"), "inconsistent def:min:max ttl: 10:60:100");
        assert_eq!(told("-c foo a:b:c"), "invalid check interval (-c) value `foo'");
        assert_eq!(told("-F foo a:b:c"), "log facility foo is not valid");
        assert!(told("-x foo.so a:b:c").contains("extension"));
        assert!(matches!(read("-n -h"), Ok(Request::Help)));
        assert!(matches!(read(""), Ok(Request::Help)));
    }
}
