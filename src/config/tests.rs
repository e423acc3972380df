use std::path::Path;

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::*;
use crate::config::spec::Spec;
use crate::dnsxl::Name;
use crate::feed::Format;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("infamy.toml"))
}

/// What is told of a configuration that is wrong.
fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn spec(text: &str) -> Spec {
    Spec::parse(&error::Source { path: Path::new("example.toml"), text }).unwrap()
}

/// The example with the lines that begin with a mark made active.
fn example_with(marks: &[&str]) -> String {
    let active = |line: &str| {
        let mark = marks.iter().find(|mark| line.starts_with(&format!("{mark} ")));
        mark.map_or(line, |mark| &line[mark.len() + 1..]).to_owned() + "\n"
    };
    EXAMPLE.lines().map(active).collect()
}

#[test]
fn the_example_has_the_defaults() {
    assert_eq!(spec(&example_with(&["#"])), spec(EXAMPLE), "a `# key = value` line is not the default");
    let bare = spec("version = 1");
    let spec = spec(EXAMPLE);
    assert_eq!((spec.rate_limit, spec.cookies, spec.retention), (bare.rate_limit, bare.cookies, bare.retention));
    assert_eq!(
        (spec.listen, spec.limits, spec.server, spec.control, spec.page, spec.never_list, spec.query_log, spec.dnstap),
        (bare.listen, bare.limits, bare.server, bare.control, bare.page, bare.never_list, bare.query_log, bare.dnstap)
    );
}

#[test]
fn the_example_and_its_examples_can_be_served() {
    assert_eq!(parse(EXAMPLE).unwrap().plan.zones.len(), 1);
    let list = |name: &str, format| {
        format!("[[dataset]]\nname = \"{name}\"\nformat = \"{format}\"\nfiles = \"lists/{name}\"\n")
    };
    let lists = list("clients", "acl") + &list("good", "plain") + &list("customers", "keys");
    let config = parse(&(example_with(&["#", "#?"]) + &lists)).unwrap();
    assert_eq!(config.confinement.user.as_deref(), Some("infamy:infamy"));
    assert_eq!(config.warnings, []);
}

/// The keys of a section, as serde knows them.
fn keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Keys<'k>(&'k mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Keys<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(serde::de::Error::custom("only structs have keys"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            *self.0 = fields;
            Err(serde::de::Error::custom("the keys are what was wanted"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    let _ = T::deserialize(Keys(&mut fields));
    fields
}

#[test]
fn the_example_has_every_key() {
    let all = example_with(&["#", "#?"]);
    let tables = [
        ("", keys::<Spec>()),
        ("listen", keys::<spec::Listen>()),
        ("listen.tls", keys::<spec::Encrypted>()),
        ("listen.https", keys::<spec::Encrypted>()),
        ("listen.quic", keys::<spec::Encrypted>()),
        ("limits", keys::<spec::Limits>()),
        ("rate-limit", keys::<spec::RateLimitSpec>()),
        ("cookies", keys::<spec::CookieSpec>()),
        ("server", keys::<spec::Server>()),
        ("control", keys::<spec::Control>()),
        ("query-log", keys::<spec::QueryLog>()),
        ("dnstap", keys::<spec::Dnstap>()),
        ("page", keys::<spec::PageSpec>()),
        ("retention", keys::<spec::Retention>()),
        ("never-list", keys::<spec::NeverList>()),
        ("evidence", keys::<spec::EvidenceSpec>()),
        ("evidence.source", keys::<spec::SourceSpec>()),
        ("neighborhood", keys::<spec::NeighborhoodSpec>()),
        ("neighborhood.lift", keys::<spec::LiftSpec>()),
        ("neighborhood.names", keys::<spec::NamesSpec>()),
        ("dataset", keys::<spec::Dataset>()),
        ("dataset.key", keys::<spec::Key>()),
        ("zone", keys::<spec::Zone>()),
        ("zone.soa", keys::<spec::Soa>()),
    ];
    let written: toml::Table = toml::from_str(&all).unwrap();
    for (path, keys) in tables {
        assert!(!keys.is_empty());
        let mut places = vec![toml::Value::Table(written.clone())];
        for step in path.split('.').filter(|step| !step.is_empty()) {
            places = places.iter().filter_map(|place| place.get(step)).cloned().collect();
            places = places
                .into_iter()
                .flat_map(|place| match place {
                    toml::Value::Array(all) => all,
                    one => vec![one],
                })
                .collect();
        }
        for key in keys {
            assert!(places.iter().any(|place| place.get(key).is_some()), "[{path}] {key} is not in the example");
        }
    }
}

#[test]
fn the_version_comes_first() {
    assert_eq!(error(""), "infamy.toml: version: missing; write `version = 1` in the first line");
    assert_eq!(
        error("# new\nversion = 2\nfuture = true\n"),
        "infamy.toml:2: version: 2 is not known here; this program reads `version = 1`"
    );
}

#[test]
fn what_is_wrong_has_its_line_and_key() {
    let head = "version = 1\n";
    let dataset = "[[dataset]]\nname = \"a\"\nformat = \"plain\"\nfiles = \"a\"\n";
    let zone = "[[zone]]\napex = \"bl.example\"\n";
    let door = |(name, address): (&str, &str)| {
        format!("[listen.{name}]\naddresses = [\"{address}\"]\ncertificate = \"chain\"\nkey = \"key\"\n")
    };
    let cases = [
        ("listne = 1\n".to_owned(), "infamy.toml:2: unknown field `listne`, expected one of `version`, `listen`"),
        ("[limits]\ntcp-idle = \"5 minutes\"\n".to_owned(), "infamy.toml:3: tcp-idle: `5 minutes` is no time: write"),
        ("[limits]\ntcp-connections = 0\n".to_owned(), "infamy.toml:3: limits: tcp-connections: is 0"),
        ("[listen]\naddresses = [\"localhost\"]\n".to_owned(), "infamy.toml:3: addresses: "),
        ("[listen]\naddresses = []\n".to_owned(), "infamy.toml:3: listen: addresses: is empty; write"),
        (
            "[listen]\naddresses = [\"[::1]:53\", \"[::1]:53\"]\n".to_owned(),
            "infamy.toml:3: listen: [::1]:53 is named twice",
        ),
        (
            [("tls", "[::1]:443"), ("https", "[::1]:443")].map(door).concat(),
            "infamy.toml:2: listen: [::1]:443 is named twice",
        ),
        ([("quic", "0.0.0.0:53")].map(door).concat(), "infamy.toml:2: listen: 0.0.0.0:53 is named twice"),
        ("[limits]\nstreams-per-connection = 0\n".to_owned(), "infamy.toml:3: limits: streams-per-connection: is 0"),
        ("[control]\naddresses = [\"[::1]:8053\"]\n".to_owned(), "infamy.toml:3: control: addresses: TCP needs tokens"),
        ("[retention]\naudit = 0\n".to_owned(), "infamy.toml:3: retention: audit: is 0, so that nothing would be kept"),
        ("[control]\nconnections = 0\n".to_owned(), "infamy.toml:3: control: connections: is 0"),
        ("[[evidence.source]]\nname = \"a\"\ntrust = 1.5\n".to_owned(), "infamy.toml:3: source \"a\": needs a name"),
        ("[[evidence.source]]\nname = \"a\"\n".repeat(2), "infamy.toml:5: source a: defined twice, first in line 3"),
        ("[neighborhood.lift]\nbad = 10.0\n".to_owned(), "infamy.toml:2: neighborhood.lift: needs 0 < watch"),
        (
            "[neighborhood.touched]\ntypo = 1.0\n".to_owned(),
            "infamy.toml:3: neighborhood.touched: typo: is no term with a number; there are log24_120",
        ),
        (
            "[[dataset]]\nname = \"v\"\nkind = \"score\"\nfiles = \"x\"\n".to_owned(),
            "infamy.toml:3: dataset v: files: means nothing for this kind of dataset",
        ),
        (
            dataset.replace("name", "family = \"send\"\nname"),
            "infamy.toml:4: dataset a: family: means nothing for this kind of dataset",
        ),
        ("[neighborhood]\nat = \"soon\"\n".to_owned(), "infamy.toml:3: at: `soon` is no time"),
        ("[server]\ngroup = \"x\"\n".to_owned(), "infamy.toml:3: server: group: means nothing without a user"),
        (
            dataset.replace("plain", "rbl"),
            "infamy.toml:4: format: `rbl` is no format: there are plain, hosts, urls, urlhaus, drop, hashes, ip4set",
        ),
        (dataset.replace("\"a\"\nfor", "\"a b\"\nfor"), "infamy.toml:3: dataset \"a b\": a name is letters, digits"),
        (dataset.replace("files = \"a\"", "files = []"), "infamy.toml:3: dataset a: files: names none"),
        (dataset.repeat(2), "infamy.toml:7: dataset a: defined twice, first in line 3; rename one or join them"),
        (dataset.replace("plain", "hashes"), "infamy.toml:3: dataset a: key: missing; write key = { hash"),
        (
            dataset.to_owned() + "key = { hash = \"md5\" }\n",
            "infamy.toml:3: dataset a: key: means nothing in format plain; it is for hashes, urls, urlhaus",
        ),
        (
            dataset.replace("plain", "hashes") + "key = { hash = \"md5\", characters = 33 }\n",
            "infamy.toml:3: dataset a: key: 33 characters; 1 to 32 are possible",
        ),
        (dataset.to_owned() + "online-only = true\n", "infamy.toml:3: dataset a: online-only: means nothing"),
        (dataset.to_owned() + "host-bits = true\n", "infamy.toml:3: dataset a: host-bits: means nothing"),
        (dataset.replace("plain", "dnset") + "match = \"both\"\n", "infamy.toml:3: dataset a: match: means nothing"),
        (dataset.to_owned() + "ttl = -1\n", "infamy.toml:6: ttl: `-1` is no time"),
        (zone.to_owned(), "infamy.toml:2: missing field `datasets`"),
        (zone.to_owned() + "datasets = []\n", "infamy.toml:3: zone bl.example: datasets: names none"),
        (
            zone.to_owned() + "datasets = [\"a\"]\n",
            "infamy.toml:4: zone bl.example: dataset a: is not defined; there are none",
        ),
        (
            format!("{dataset}{zone}datasets = [\n  \"b\",\n]\n"),
            "infamy.toml:9: zone bl.example: dataset b: is not defined; there is a",
        ),
        (
            format!("{dataset}{zone}datasets = [\"a\", {{ name = \"a\", udner = \"x\" }}]\n"),
            "infamy.toml:8: datasets: unknown field `udner`, expected `name` or `under`",
        ),
        (
            format!("{dataset}{zone}datasets = [\"a\", \"a\"]\n"),
            "infamy.toml:8: zone bl.example: datasets: a stands there twice under the same name",
        ),
        (
            format!("{}{zone}datasets = [\"a\"]\n", dataset.replace("plain", "acl")),
            "infamy.toml:8: zone bl.example: datasets: a is an access list (format acl); write access = \"a\"",
        ),
        (
            format!("{dataset}{zone}datasets = [\"a\"]\naccess = \"a\"\n"),
            "infamy.toml:9: zone bl.example: access: a is not of format acl",
        ),
        (
            format!("{dataset}{zone}datasets = [\"a\"]\nkeys = \"a\"\n"),
            "infamy.toml:9: zone bl.example: keys: a is not of format keys",
        ),
        (
            format!("{}{zone}datasets = [\"a\"]\n", dataset.replace("plain", "keys")),
            "infamy.toml:8: zone bl.example: datasets: a is a file of keys (format keys); write keys = \"a\"",
        ),
        (
            format!("{dataset}{zone}datasets = [\"a\"]\nquota = \"5/h\"\n"),
            "infamy.toml:9: quota: `5/h`: a quota by something else than the second or the day: write `N/s`, `N/d`, both, or `unlimited`",
        ),
        (
            format!("{dataset}{zone}datasets = [\"a\"]\nrefuse-with = \"servfail\"\n"),
            "infamy.toml:9: refuse-with: unknown variant `servfail`, expected one of `refused`, `nxdomain`, `drop`, `code`",
        ),
        (
            format!("{dataset}{zone}datasets = [\"a\"]\n[[zone]]\napex = \"BL.example.\"\ndatasets = [\"a\"]\n"),
            "infamy.toml:10: zone bl.example: defined twice, first in line 7",
        ),
        (zone.replace("bl.example", ".") + "datasets = []\n", "infamy.toml:3: zone: apex: is the root"),
        (
            zone.replace("bl.example", "bl..example") + "datasets = []\n",
            "infamy.toml:3: apex: `bl..example` is no domain",
        ),
        (
            dataset.replace("format = \"plain\"\n", ""),
            "infamy.toml:3: dataset a: a: No such file or directory (os error 2); where a file comes later, name its format",
        ),
    ];
    for (text, expected) in cases {
        let told = error(&(head.to_owned() + &text));
        assert!(told.starts_with(expected), "{text}\n{told}");
        assert!(!told.contains('\n'), "{told}");
    }
}

#[test]
fn formats_are_recognised_by_marks_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("infamy.toml");
    let text = "version = 1\n[[dataset]]\nname = \"a\"\nfiles = \"list\"\n";
    fs::write(folder.path().join("list"), "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\"}\n").unwrap();
    assert_eq!(Config::parse(text, &path).unwrap().plan.datasets[0].format, Format::Drop);
    fs::write(folder.path().join("list"), "192.0.2.1\n").unwrap();
    let told = Config::parse(text, &path).unwrap_err().to_string();
    assert!(told.contains("list has no mark by which to tell it; name one of plain, hosts"), "{told}");
}

#[test]
fn what_is_rarely_meant_is_a_warning() {
    let text = "version = 1
[[dataset]]
name = \"a\"
format = \"plain\"
files = \"a\"
value = \"192.0.2.1\"
[[dataset]]
name = \"b\"
format = \"plain\"
files = \"b\"
[[zone]]
apex = \"bl.example\"
datasets = [{ name = \"a\", under = \"1\" }]
refuse-with = \"code\"
key-quota = \"5/s\"
";
    let warnings: Vec<String> = parse(text).unwrap().warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "infamy.toml:3: dataset a: value: 192.0.2.1 is outside 127.0.0.0/8",
        "infamy.toml:13: zone bl.example: under: `1` could be taken for a part of an address",
        "infamy.toml:12: zone bl.example: ns: not given, and ns.bl.example has no address",
        "infamy.toml:12: zone bl.example: key-quota: means nothing without keys",
        "infamy.toml:12: zone bl.example: refuse-with: nobody is refused without access, keys or quota",
        "infamy.toml:8: dataset b: no zone uses it",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}");
    }
}

#[test]
fn a_text_with_a_hole_for_texts_is_the_one_around_them() {
    let text = |text: &str| {
        let config =
            format!("version = 1\n[[dataset]]\nname = \"a\"\nformat = \"plain\"\nfiles = \"a\"\ntext = {text:?}\n");
        let defaults = parse(&config).unwrap().plan.datasets[0].defaults.clone();
        (defaults.text.map(|text| text.to_vec()), defaults.base.map(|text| text.to_vec()))
    };
    assert_eq!(text("about $"), (Some(b"about $".to_vec()), None));
    assert_eq!(text("see $ ($=)"), (Some(b"".to_vec()), Some(b"see $ ($=)".to_vec())));
}

#[test]
fn a_soa_begins_from_sensible_values() {
    let zone = |rest: &str| {
        let text = format!(
            "version = 1\n[[dataset]]\nname = \"a\"\nformat = \"plain\"\nfiles = \"a\"\n[[zone]]\napex = \"bl.example\"\ndatasets = [\"a\"]\n{rest}"
        );
        parse(&text).unwrap().plan.zones.remove(0).spec
    };
    assert_eq!(zone("").soa, None);
    let soa = zone("ns = [\"ns1.example\"]\nsoa = { rname = \"a.b@c.example\", minimum = \"1m\" }").soa.unwrap();
    assert_eq!(soa.origin, Name::parse(b"ns1.example").unwrap());
    assert_eq!(soa.person, Name::parse(b"a\\.b.c.example").unwrap());
    assert_eq!((soa.minimum, soa.refresh, soa.serial), (60, crate::zone::DEFAULT_REFRESH, 0));
    assert_eq!(zone("soa = {}").soa.unwrap().origin, Name::parse(b"ns.bl.example").unwrap());
}

#[test]
fn paths_are_those_after_the_chroot() {
    let config = |root: &str| {
        let text = format!(
            "version = 1\n[server]\nchroot = {root:?}\n[[dataset]]\nname = \"a\"\nformat = \"plain\"\nfiles = \"lists/a\"\n"
        );
        Config::parse(&text, Path::new("/srv/infamy/infamy.toml")).unwrap()
    };
    let plan = config("/srv/infamy").confined_plan().unwrap();
    assert_eq!(plan.datasets[0].files, [Path::new("/lists/a")]);
    let told = config("/var/empty").confined_plan().unwrap_err().to_string();
    assert!(told.starts_with("/srv/infamy/lists/a: is not below the chroot /var/empty"), "{told}");
}

#[test]
fn the_control_socket_is_in_the_state_directory() {
    let listen = |text: &str| parse(&format!("version = 1\n{text}")).unwrap();
    assert!(listen("").control.is_off() && listen("").store.is_none());
    let state = "[server]\nstate-directory = \"state\"\n";
    let config = listen(state);
    assert_eq!(config.control.socket.as_deref(), Some(Path::new("state/infamy.sock")));
    assert_eq!(config.store.as_deref(), Some(Path::new("state/evidence.db")));
    assert!(listen(&format!("{state}[control]\nsocket = \"\"\n")).control.is_off());
    let config = listen("[control]\naddresses = [\"192.0.2.1:8053\"]\ntokens = \"t\"\n");
    assert!(config.warnings[0].to_string().contains("192.0.2.1:8053 is not loopback"), "{:?}", config.warnings);
}

#[test]
fn what_the_page_says_of_itself_is_checked() {
    let page = |text: &str| parse(&format!("version = 1\n[page]\n{text}\n"));
    assert!(page("").unwrap().page.is_off());
    let config = page("addresses = [\"127.0.0.1:8053\"]\nurl = \"https://lists.example\"\nremoval = \"off\"").unwrap();
    assert!(!config.page.is_off() && !config.page.removal);
    assert_eq!(config.needs_restart(&page("").unwrap()), ["[page]"]);
    for (text, told) in [
        ("url = \"https://lists.example/q\"", "page: url: \"https://lists.example/q\" is no origin"),
        ("url = \"javascript:x\"", "is no origin"),
        ("name = \"\"", "page: name: is empty"),
        ("contact = \"a\\nb\"", "page: contact: "),
        ("requests = 0", "page: requests: is 0"),
    ] {
        let error = page(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn a_change_of_sockets_needs_a_restart() {
    let config = |text: &str| parse(&format!("version = 1\n{text}")).unwrap();
    let before = config("[server]\nversion-text = \"a\"\n");
    let other_text = config("[server]\nversion-text = \"b\"\n");
    assert!(!before.says_what(&other_text) && before.needs_restart(&other_text).is_empty());
    let other = config("[listen]\nudp-workers = 1\n[rate-limit]\nslip = 1\n[server]\npid-file = \"pid\"\n");
    assert_eq!(before.needs_restart(&other), ["[listen]", "[rate-limit]", "[server]"]);
    assert!(before.says_what(&config("\n[server]\n\nversion-text = \"a\" # the same\n")));
}
