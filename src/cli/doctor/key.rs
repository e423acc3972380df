//! The key of a zone that answers only who has one in the name: `2.0.0.127.KEY.bl.example`.
//!
//! Invariant: it comes from a file or the environment, as everybody on the machine can read a command line, and nothing
//! that is printed has it: [`Key::hide`] goes over every line.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::dnsxl::Name;
use crate::dnsxl::name::MAX_LABEL;
use crate::feed::{SHORTEST_KEY, could_be_key};
use crate::http::client::read_token;

/// One label, in lower case. It has no `Debug`, as it is a secret.
pub(super) struct Key(String);

/// Why there is no key where one was named.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: io::Error },
    #[error("{place}: is no key; write one alone, {SHORTEST_KEY} to {MAX_LABEL} letters, digits and hyphens")]
    Form { place: String },
    #[error("the key and {zone} are longer together than a name can be")]
    Length { zone: Name },
}

impl Key {
    /// The key in a file, else the one in the environment, if there is one.
    pub(super) fn read(file: Option<&Path>, environment: Option<&OsStr>) -> Result<Option<Self>, KeyError> {
        if let Some(path) = file {
            let text = read_token(path).map_err(|why| KeyError::File { path: path.to_owned(), why })?;
            return Self::parse(&text, path.display().to_string()).map(Some);
        }
        let text = environment.map(OsStr::to_string_lossy).filter(|text| !text.trim().is_empty());
        text.map(|text| Self::parse(text.trim(), VARIABLE.to_owned())).transpose()
    }

    fn parse(text: &str, place: String) -> Result<Self, KeyError> {
        let is_key = text.len() <= MAX_LABEL && could_be_key(text.as_bytes());
        if is_key { Ok(Self(text.to_ascii_lowercase())) } else { Err(KeyError::Form { place }) }
    }

    /// Where the subjects of a zone stand for who has the key.
    pub(super) fn below(&self, zone: &Name) -> Result<Name, KeyError> {
        let label = Name::parse(self.0.as_bytes()).ok();
        let place = label.and_then(|label| label.under(zone).ok());
        place.ok_or_else(|| KeyError::Length { zone: zone.clone() })
    }

    /// A text without the key, in whatever case it stands there.
    pub(super) fn hide(&self, text: &str) -> String {
        let (lower, mut shown, mut at) = (text.to_ascii_lowercase(), String::new(), 0);
        for (found, _) in lower.match_indices(&self.0) {
            shown += &text[at..found];
            shown += "[key]";
            at = found + self.0.len();
        }
        shown + &text[at..]
    }
}

/// Where a key may be if no file is named.
pub(super) const VARIABLE: &str = "INFAMY_KEY";
