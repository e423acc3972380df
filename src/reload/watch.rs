//! The watch: which datasets have files that changed, and have settled since.
//!
//! A writer that does not rename leaves a file half-written for a while, and several files of a list come one after the
//! other. So a change is told once a dataset's files look the same at two glances in a row, and no other dataset is still
//! moving; one that is written to all the time holds the others up for a few glances and no longer. Invariant: what is
//! told is only that files may be read now; whether there is news is for the load to say.

use std::collections::{BTreeSet, HashMap};

use super::Plan;
use super::load::stamps;
use crate::dataset::Stamp;

/// What was seen of the files so far.
#[derive(Debug, Default)]
pub struct Watch {
    datasets: HashMap<String, Seen>,
    /// For how many glances in a row a dataset that has settled has waited for others.
    held: u32,
}

#[derive(Debug, Default)]
struct Seen {
    /// At the last glance.
    last: Vec<Option<Stamp>>,
    /// When the dataset was last told; nothing was, if none.
    told: Option<Vec<Option<Stamp>>>,
    /// For how many glances in a row it has looked otherwise every time.
    moving: u32,
}

impl Watch {
    /// Looks at all lists; the datasets that are to be read. Each is told once at the beginning, as nobody knows what
    /// happened before.
    ///
    /// Datasets that are made from evidence are no matter of the watch: reports come all the time, and are judged together.
    pub fn glance(&mut self, plan: &Plan) -> BTreeSet<String> {
        let lists = || plan.datasets.iter().filter(|spec| spec.emitted.is_none());
        self.datasets.retain(|name, _| lists().any(|spec| spec.name == *name));
        for spec in lists() {
            self.datasets.entry(spec.name.clone()).or_default().look(stamps(spec));
        }
        let is_any_moving = self.datasets.values().any(|seen| seen.is_new() && !seen.has_settled());
        let settled = || self.datasets.values().filter(|seen| seen.is_new() && seen.has_settled());
        self.held = if is_any_moving && settled().next().is_some() { self.held + 1 } else { 0 };
        if is_any_moving && self.held < PATIENCE {
            return BTreeSet::new();
        }
        self.held = 0;
        let ready = self.datasets.iter_mut().filter(|(_, seen)| seen.is_new() && seen.has_settled());
        ready.map(|(name, seen)| seen.tell(name)).collect()
    }
}

impl Seen {
    fn look(&mut self, now: Vec<Option<Stamp>>) {
        self.moving = if self.last == now { 0 } else { self.moving + 1 };
        self.last = now;
    }

    /// Whether it is not as it was told.
    fn is_new(&self) -> bool {
        self.told.as_ref() != Some(&self.last)
    }

    /// Whether it may be read: who appends to a list every second is served too, as reading it takes less, and the reader
    /// sees where it does not.
    fn has_settled(&self) -> bool {
        self.moving == 0 || self.moving >= RESTLESS
    }

    fn tell(&mut self, name: &str) -> String {
        self.told = Some(self.last.clone());
        self.moving = 0;
        name.to_owned()
    }
}

/// So many glances a dataset waits for others that are still moving: lists of one download are there by then.
const PATIENCE: u32 = 4;
/// After so many glances at which it has moved every time, a dataset is read although it does not settle.
const RESTLESS: u32 = 8;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::reload::tests::plan;

    fn glances(watch: &mut Watch, plan: &Plan, count: usize) -> Vec<usize> {
        (0..count).map(|_| watch.glance(plan).len()).collect()
    }

    /// Puts a file in a place as everybody should.
    fn put(folder: &Path, name: &str, text: &str) {
        let aside = folder.join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(aside, folder.join(name)).unwrap();
    }

    #[test]
    fn every_way_to_change_a_file_is_told_once_when_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "list", "192.0.2.1\n");
        let plan = plan(folder.path(), &["list"]);
        let list = folder.path().join("list");
        let mut watch = Watch::default();
        assert_eq!(glances(&mut watch, &plan, 4), [0, 1, 0, 0], "once at the beginning");
        let changes: [(&str, &dyn Fn()); 5] = [
            ("renamed into place", &|| put(folder.path(), "list", "192.0.2.2\n")),
            ("written over", &|| fs::write(&list, "192.0.2.3\n").unwrap()),
            ("removed", &|| fs::remove_file(&list).unwrap()),
            ("there again, as a link", &|| {
                fs::write(folder.path().join("first"), "192.0.2.4\n").unwrap();
                fs::write(folder.path().join("second"), "192.0.2.4\n").unwrap();
                std::os::unix::fs::symlink("first", &list).unwrap();
            }),
            ("a link that leads elsewhere", &|| {
                std::os::unix::fs::symlink("second", folder.path().join("aside")).unwrap();
                fs::rename(folder.path().join("aside"), &list).unwrap();
            }),
        ];
        for (what, change) in changes {
            change();
            assert_eq!(glances(&mut watch, &plan, 4), [0, 1, 0, 0], "{what}");
        }
    }

    #[test]
    fn files_that_change_together_are_told_together() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            put(folder.path(), name, "192.0.2.1\n");
        }
        let plan = plan(folder.path(), &["one", "two"]);
        let mut watch = Watch::default();
        glances(&mut watch, &plan, 2);
        put(folder.path(), "one", "192.0.2.2\n");
        assert_eq!(glances(&mut watch, &plan, 1), [0]);
        put(folder.path(), "two", "192.0.2.2\n");
        assert_eq!(glances(&mut watch, &plan, 4), [0, 2, 0, 0]);
    }

    #[test]
    fn what_never_settles_is_told_after_a_while_and_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["list", "restless"] {
            put(folder.path(), name, "192.0.2.1\n");
        }
        let plan = plan(folder.path(), &["list", "restless"]);
        let mut watch = Watch::default();
        glances(&mut watch, &plan, 2);
        let mut told = Vec::new();
        for count in 0..RESTLESS {
            put(folder.path(), "restless", &format!("192.0.2.{count}\n"));
            if count == 0 {
                put(folder.path(), "list", "192.0.2.2\n");
            }
            told.push(watch.glance(&plan));
        }
        let told: Vec<Vec<&str>> = told.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
        let none = Vec::new;
        assert_eq!(told, [none(), none(), none(), none(), vec!["list"], none(), none(), vec!["restless"]]);
    }
}
