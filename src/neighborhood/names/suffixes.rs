//! Where a name ends being somebody's own: the Public Suffix List, and an overlay of platforms that it lacks.
//!
//! Both sections of the list count. Its ICANN section alone calls `pages.dev` a domain like any other, and a roll-up
//! then lists a platform for a tenant's page. Invariant: the longest suffix of either wins, and a name that is itself
//! a suffix has no registrable domain.
//!
//! The list of the day the program was built comes with it (crate `psl`); a newer one is read from a file.

use std::collections::HashSet;
use std::path::Path;

use publicsuffix::Psl;

use super::lines::{ListError, each, parse_host};
use crate::feed::{Compression, Lines, Skipped};

/// The suffixes below which names belong to different people.
#[derive(Debug)]
pub struct Suffixes {
    /// None: the list that comes with the program.
    list: Option<publicsuffix::List>,
    platforms: HashSet<Box<str>>,
}

/// Who says that a name is a suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A registry's suffix, as `com` and `co.uk`; also a top-level name that no list knows.
    Public,
    /// A company's own, as `github.io`.
    Private,
    /// One of the overlay: a platform, shortener or dynamic-DNS zone that the list lacks.
    Platform,
}

/// A host, split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split<'h> {
    /// The longest suffix of the host.
    pub suffix: &'h str,
    /// Who calls it one.
    pub kind: Kind,
    /// The suffix and the label in front of it; none where the host is the suffix itself.
    pub registrable: Option<&'h str>,
}

impl Default for Suffixes {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Suffixes {
    /// The list that comes with the program, and the platforms we know of.
    pub fn built_in() -> Self {
        Self { list: None, platforms: PLATFORMS.iter().map(|&name| name.into()).collect() }
    }

    /// Takes a newer list in the place of the one that came with the program.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has no rules in it.
    pub fn open_list(&mut self, path: &Path) -> Result<(), ListError> {
        let mut lines = Lines::open(path, Compression::Detect)?;
        let mut text = String::new();
        while let Some((_, line)) = lines.next_line()? {
            if let Ok(line) = line.map(String::from_utf8_lossy) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        let parsed = text.parse::<publicsuffix::List>();
        let list = parsed.map_err(|error| ListError::Suffixes { path: path.into(), reason: error.to_string() })?;
        self.list = Some(list);
        Ok(())
    }

    /// Adds the platforms of a file to the overlay: a name a line.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn add_platforms(&mut self, path: &Path) -> Result<Skipped, ListError> {
        let platforms = &mut self.platforms;
        Ok(each(path, |line| {
            platforms.insert(parse_host(line)?.into());
            Ok(())
        })?)
    }

    /// Adds a suffix to the overlay.
    pub fn add_platform(&mut self, name: &str) {
        self.platforms.insert(name.into());
    }

    /// Splits a host in lower case, without a dot at its end.
    pub fn split<'h>(&self, host: &'h str) -> Split<'h> {
        let of_list = match &self.list {
            Some(list) => list.suffix(host.as_bytes()),
            None => psl::suffix(host.as_bytes()),
        };
        let (mut length, mut kind) = of_list.map_or_else(
            || (host.rsplit('.').next().map_or(0, str::len), Kind::Public),
            |suffix| {
                let is_private = suffix.typ() == Some(publicsuffix::Type::Private);
                (suffix.as_bytes().len(), if is_private { Kind::Private } else { Kind::Public })
            },
        );
        let mut rest = host;
        while rest.len() > length {
            if self.platforms.contains(rest) {
                (length, kind) = (rest.len(), Kind::Platform);
                break;
            }
            let Some((_, parent)) = rest.split_once('.') else { break };
            rest = parent;
        }
        let at = host.len() - length;
        let registrable = at.checked_sub(1).map(|dot| &host[host[..dot].rfind('.').map_or(0, |before| before + 1)..]);
        Split { suffix: &host[at..], kind, registrable }
    }
}

/// Platforms that give names or paths to anybody and are not in the private section of the Public Suffix List as of
/// 2026-11: site builders, storage, forms and pages of big services, link shorteners. Our own collection; an operator
/// adds to it.
const PLATFORMS: &[&str] = &[
    // site builders and shops
    "bigcartel.com",
    "brizy.site",
    "canva.site",
    "carrd.co",
    "godaddysites.com",
    "gitbook.io",
    "jimdofree.com",
    "jimdosite.com",
    "mystrikingly.com",
    "site123.me",
    "square.site",
    "teachable.com",
    "ucraft.net",
    "webnode.page",
    "weebly.com",
    "weeblysite.com",
    "wixsite.com",
    "wordpress.com",
    "yolasite.com",
    "zyrosite.com",
    // pages, forms and storage that everybody may write
    "docs.google.com",
    "drive.google.com",
    "dropboxusercontent.com",
    "firebasestorage.googleapis.com",
    "forms.gle",
    "forms.office.com",
    "jotform.com",
    "raw.githubusercontent.com",
    "script.google.com",
    "sharepoint.com",
    "sites.google.com",
    "storage.googleapis.com",
    "typeform.com",
    // shorteners and link pages
    "bit.ly",
    "cutt.ly",
    "goo.su",
    "is.gd",
    "linktr.ee",
    "lnkd.in",
    "rb.gy",
    "rebrand.ly",
    "shorturl.at",
    "t.co",
    "t.ly",
    "tinyurl.com",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn registrable(host: &str) -> Option<&str> {
        Suffixes::built_in().split(host).registrable
    }

    #[test]
    fn a_tenant_is_not_its_landlord() {
        for (host, expected) in [
            ("a.b.list.example", Some("list.example")),
            ("list.example", Some("list.example")),
            ("example", None),
            ("a.list.co.uk", Some("list.co.uk")),
            ("co.uk", None),
            ("login.evil.pages.dev", Some("evil.pages.dev")),
            ("pages.dev", None),
            ("evil.github.io", Some("evil.github.io")),
            ("github.io", None),
            // rules of one label more than the name of the service: a bucket, and the place where buckets are paths
            ("bucket.s3.amazonaws.com", Some("bucket.s3.amazonaws.com")),
            ("s3.amazonaws.com", None),
            ("bucket.s3.eu-west-1.amazonaws.com", Some("bucket.s3.eu-west-1.amazonaws.com")),
            // a rented machine is a suffix to the list (`*.compute-1.amazonaws.com`), so its next tenant owes nothing
            ("ec2-192-0-2-1.compute-1.amazonaws.com", None),
            // wildcard and exception of the list
            ("a.b.ck", Some("a.b.ck")),
            ("www.ck", Some("www.ck")),
            // international suffix in its ASCII form
            ("a.b.xn--55qx5d.cn", Some("b.xn--55qx5d.cn")),
            // the overlay
            ("shop.weebly.com", Some("shop.weebly.com")),
            ("www.bit.ly", Some("www.bit.ly")),
            ("bit.ly", None),
            ("sites.google.com", None),
            ("mail.google.com", Some("google.com")),
        ] {
            assert_eq!(registrable(host), expected, "{host}");
        }
    }

    #[test]
    fn suffixes_are_told_by_who_says_so() {
        let suffixes = Suffixes::built_in();
        let kind = |host| suffixes.split(host).kind;
        assert_eq!(
            [kind("a.co.uk"), kind("a.github.io"), kind("a.weebly.com")],
            [Kind::Public, Kind::Private, Kind::Platform]
        );
        assert_eq!(suffixes.split("a.weebly.com").suffix, "weebly.com");
    }

    #[test]
    fn a_list_from_a_file_takes_the_place_of_the_one_that_came_along() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let rules = "// ===BEGIN ICANN DOMAINS===\nexample\nco.example\n// ===END ICANN DOMAINS===\n\
                     // ===BEGIN PRIVATE DOMAINS===\nhosting.example\n*.box.example\n公司.example\n// ===END PRIVATE DOMAINS===\n";
        std::fs::write(file.path(), rules).unwrap();
        let mut suffixes = Suffixes::built_in();
        suffixes.open_list(file.path()).unwrap();
        suffixes.add_platform("pages.list.example");
        for (host, expected) in [
            ("a.b.hosting.example", Some("b.hosting.example")),
            ("a.b.c.box.example", Some("b.c.box.example")),
            ("a.co.example", Some("a.co.example")),
            ("a.b.xn--55qx5d.example", Some("b.xn--55qx5d.example")),
            ("x.pages.list.example", Some("x.pages.list.example")),
            ("x.github.io", Some("github.io")),
        ] {
            assert_eq!(suffixes.split(host).registrable, expected, "{host}");
        }
        std::fs::write(file.path(), "<html>not found</html>\n").unwrap();
        let error = suffixes.open_list(file.path()).unwrap_err().to_string();
        assert!(error.contains("no Public Suffix List"), "{error}");
    }
}
