//! What a start needs besides the configuration and its lists: an account, certificates, tokens, folders.
//!
//! Invariant: it is only looked, and nothing opened for others or given up. It is no part of reading a configuration:
//! whoever does that for another command than `serve` need not be let in to private keys.

use std::path::PathBuf;

use super::Config;
use super::error::{Place, Source};
use super::spec::Spec;
use crate::http::{TokensError, check_tokens};
use crate::server::privileges::ConfineError;
use crate::server::{CertificateError, Encrypted};

/// Why a server would not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The account cannot be taken.
    #[error("{place}: server: {why}")]
    Account {
        /// Where it is named.
        place: Place,
        /// What is wrong.
        why: ConfineError,
    },
    /// The certificate of a door cannot be served.
    #[error("{place}: listen.{door}: {why}")]
    Certificate {
        /// Where the file is named.
        place: Place,
        /// `tls`, `https` or `quic`.
        door: &'static str,
        /// What is wrong.
        why: CertificateError,
    },
    /// A folder that is written into is not there.
    #[error("{place}: {key}: {}: there is no such folder: make it, and give it to the server's user", path.display())]
    Folder {
        /// Where it, or a file in it, is named.
        place: Place,
        /// What names it.
        key: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// The tokens let nobody in.
    #[error("{place}: control: tokens: {why}")]
    Tokens {
        /// Where the file is named.
        place: Place,
        /// What is wrong.
        why: TokensError,
    },
}

/// Where what a start needs is named.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    account: Place,
    /// The doors in their order, each with the places of its certificate and its key.
    doors: [(&'static str, [Place; 2]); 3],
    tokens: Place,
    state_directory: Place,
    query_log: Place,
}

impl Needs {
    pub(super) fn of(spec: &Spec, source: &Source<'_>) -> Self {
        let key = if spec.server.group.is_some() { "group" } else { "user" };
        let door = |door: &'static str| {
            let section = format!("listen.{door}");
            (door, ["certificate", "key"].map(|key| source.place_of(&section, key)))
        };
        Self {
            account: source.place_of("server", key),
            doors: ["tls", "https", "quic"].map(door),
            tokens: source.place_of("control", "tokens"),
            state_directory: source.place_of("server", "state-directory"),
            query_log: source.place_of("query-log", "file"),
        }
    }
}

impl Config {
    /// What keeps a server from starting with this configuration, as far as can be told without starting it.
    pub fn start_errors(&self) -> Vec<StartError> {
        let Needs { account, doors, tokens, state_directory, query_log } = &self.needs;
        let mut errors = Vec::new();
        if let Err(why) = self.confinement.check() {
            errors.push(StartError::Account { place: account.clone(), why });
        }
        let listen = &self.listen;
        for ((door, places), encrypted) in doors.iter().zip([&listen.encrypted, &listen.https, &listen.quic]) {
            let Some(Encrypted { certificate, .. }) = encrypted else { continue };
            if let Err(why) = certificate.check() {
                let [of_chain, of_key] = places;
                let is_key = why.path() == certificate.key;
                let place = if is_key { of_key } else { of_chain }.clone();
                errors.push(StartError::Certificate { place, door, why });
            }
        }
        if let Some(Err(why)) = self.control.tokens.as_deref().map(check_tokens) {
            errors.push(StartError::Tokens { place: tokens.clone(), why });
        }
        let log = self.query_log.as_ref().and_then(|log| log.path.as_deref()?.parent());
        // after a chroot the log's path is another one
        let log = log.filter(|_| self.confinement.root.is_none());
        for (key, place, path) in [
            ("server: state-directory", state_directory, self.state_directory.as_deref()),
            ("query-log: file", query_log, log),
        ] {
            if let Some(path) = path.filter(|path| !path.is_dir()) {
                errors.push(StartError::Folder { place: place.clone(), key, path: path.to_owned() });
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_keeps_a_server_from_starting_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o600)).unwrap();
        };
        let [one, other] = [1, 2].map(|_| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        put("chain", &one.cert.pem());
        put("key", &one.signing_key.serialize_pem());
        put("other", &other.signing_key.serialize_pem());
        put("empty", "");
        put("tokens", "mail 0123456789abcdef\n");
        put("short", "mail secret\n");
        let door = |section: &str, chain: &str, key: &str| {
            format!("[listen.{section}]\naddresses = [\"[::1]:0\"]\ncertificate = \"{chain}\"\nkey = \"{key}\"\n")
        };
        let control = |tokens: &str| format!("[control]\naddresses = [\"[::1]:0\"]\ntokens = \"{tokens}\"\n");
        for (rest, wrong) in [
            ("[server]\nuser = \"nosuch\"\n", "3: server: user nosuch: not known to this host"),
            ("[server]\nuser = \"root\"\n", "3: server: user root: is root; name an account without privileges"),
            ("[server]\nuser = \"nobody\"\ngroup = \"nosuch\"\n", "4: server: group nosuch: not known"),
            ("[server]\nuser = \"nobody\"\n", ""),
            (&door("tls", "chain", "key"), ""),
            (&door("tls", "none", "key"), "4: listen.tls: FOLDER/none: "),
            (&door("https", "empty", "key"), "4: listen.https: FOLDER/empty: no certificate in it"),
            (&door("https", "chain", "none"), "5: listen.https: FOLDER/none: "),
            (&door("quic", "chain", "other"), "5: listen.quic: FOLDER/other: not usable with FOLDER/chain: "),
            (&control("tokens"), ""),
            ("[server]\nstate-directory = \".\"\n[query-log]\nfile = \"queries\"\n", ""),
            (
                "[server]\nstate-directory = \"none\"\n",
                "3: server: state-directory: FOLDER/none: there is no such folder",
            ),
            ("[query-log]\nfile = \"none/queries\"\n", "3: query-log: file: FOLDER/none: there is no such folder"),
            (&control("none"), "4: control: tokens: FOLDER/none: No such file"),
            (&control("short"), "4: control: tokens: FOLDER/short:1: write `name token`"),
        ] {
            let text = format!("version = 1\n{rest}");
            let config = Config::parse(&text, &folder.path().join("infamy.toml")).unwrap();
            let shown = |error: &StartError| error.to_string().replace(&*folder.path().to_string_lossy(), "FOLDER");
            let errors: Vec<String> = config.start_errors().iter().map(shown).collect();
            let expected = usize::from(!wrong.is_empty());
            assert_eq!(errors.len(), expected, "{rest}{errors:?}");
            let place = format!("FOLDER/infamy.toml:{wrong}");
            assert!(errors.iter().all(|error| error.starts_with(&place)), "{rest}{errors:?}");
        }
    }
}
