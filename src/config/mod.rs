//! The configuration: a TOML file becomes a checked [`Config`], and that what the other rooms take.
//!
//! The way is [`spec`], the file as it is written, then `check`, everything that can be wrong with it. Invariant: a
//! [`Config`] holds only valid values, names that are defined once, and references that lead somewhere; what is wrong
//! is told with `path:line:`, the key, and how to mend it.
//!
//! It reads no list, save the first line of one whose format is to be recognised, and opens no socket.

mod abuse;
mod check;
mod control;
mod error;
mod logs;
mod neighborhood;
mod page;
pub mod spec;
mod start;
mod values;
mod verdicts;

pub(crate) use check::is_like_address;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{ConfigError, Place, Problem, ValueError, Warning};
pub use neighborhood::Judging;
pub use start::StartError;

use crate::dataset::Emitted;
use crate::evidence::store::Retention;
use crate::http;
use crate::query_log::{DnstapSpec, FileSpec};
use crate::reload::Plan;
use crate::server::Listen;
use crate::server::privileges::Confinement;
use spec::Spec;

/// A configuration that can be served.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read.
    pub path: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// The privileges to give up.
    pub confinement: Confinement,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Where the serials are kept, so that they never go back across restarts.
    pub state_directory: Option<PathBuf>,
    /// How often it is looked whether lists have changed, if at all.
    pub watch: Option<Duration>,
    /// The query log, if there is one; its path as it is seen from outside.
    pub query_log: Option<FileSpec>,
    /// The collector that dnstap goes to, if there is one; its path as it is seen from outside.
    pub dnstap: Option<DnstapSpec>,
    /// Where the control interface listens; its paths as they are seen from outside of any chroot.
    pub control: http::Listen,
    /// Where the lookup page is.
    pub page: http::page::Listen,
    /// Where reports and live changes are kept, if they are; as it is seen from outside.
    pub store: Option<PathBuf>,
    /// How long it keeps what.
    pub retention: Retention,
    /// The datasets and zones; their paths as they are seen from outside of any chroot.
    pub plan: Plan,
    /// Evidence, and how blocks are judged by it.
    pub judging: Judging,
    /// What is allowed, and rarely meant.
    pub warnings: Vec<Warning>,
    /// Where what a start needs is named.
    needs: start::Needs,
    /// What was written, for [`Self::needs_restart`].
    spec: Spec,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or something in it is wrong.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        let read = |why| ConfigError::Read { path: path.to_owned(), why };
        let text = fs::read(path).map_err(read)?;
        let text = String::from_utf8(text).map_err(|_| ConfigError::NotText { path: path.to_owned() })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a configuration; paths in it are relative to `path`'s folder.
    ///
    /// # Errors
    ///
    /// Something in it is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let source = error::Source { path, text };
        let spec = Spec::parse(&source)?;
        check::check(spec, &source)
    }

    /// In which tables the other configuration differs in what is only done at the start: sockets, limits, privileges.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        self.spec.of_process_otherwise_in(&other.spec)
    }

    /// Whether the other configuration says the same.
    pub fn says_what(&self, other: &Self) -> bool {
        // secrets are in files of their own, and are read with this one
        self.spec == other.spec && self.plan.cookies == other.plan.cookies
    }

    /// The plan with its paths as they are seen after the chroot, if there is one.
    ///
    /// # Errors
    ///
    /// A file that is not below the new root.
    pub fn confined_plan(&self) -> Result<Plan, ConfigError> {
        let mut plan = self.plan.clone();
        for path in plan.datasets.iter_mut().flat_map(|dataset| &mut dataset.files) {
            *path = self.confined(path)?;
        }
        let emitters = plan.datasets.iter().filter_map(|dataset| dataset.emitted.as_ref());
        for Emitted(emitter) in emitters.filter(|_| self.confinement.root.is_some()) {
            let confined = emitter.confine(&|path| self.confined(path).ok());
            confined.map_err(|path| ConfigError::OutsideRoot {
                path,
                root: self.confinement.root.clone().unwrap_or_default(),
            })?;
        }
        Ok(plan)
    }

    /// Where the control interface listens, its paths as they are seen after the chroot, if there is one.
    ///
    /// # Errors
    ///
    /// A path that is not below the new root.
    pub fn confined_control(&self) -> Result<http::Listen, ConfigError> {
        let mut control = self.control.clone();
        for path in control.socket.iter_mut().chain(&mut control.tokens) {
            *path = self.confined(path)?;
        }
        Ok(control)
    }

    /// A path as it is seen after the chroot, if there is one.
    ///
    /// # Errors
    ///
    /// It is not below the new root.
    pub fn confined(&self, path: &Path) -> Result<PathBuf, ConfigError> {
        let Some(root) = &self.confinement.root else { return Ok(path.to_owned()) };
        let outside = || ConfigError::OutsideRoot { path: path.to_owned(), root: root.clone() };
        let whole = |path: &Path| std::path::absolute(path).map_err(|_| outside());
        let inside = whole(path)?.strip_prefix(whole(root)?).map(Path::to_owned).map_err(|_| outside())?;
        Ok(Path::new("/").join(inside))
    }
}

/// The annotated configuration with every key and its default, as `infamy example` prints it.
pub const EXAMPLE: &str = include_str!("example.toml");

#[cfg(test)]
mod tests;
