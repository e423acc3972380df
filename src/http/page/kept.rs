//! What was found lately, so that a page that many look at is looked up once.
//!
//! Invariant: nothing of another edition or hour is given out, and what is kept is bounded.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::found::Found;
use super::public::Edition;

/// An edition, and the hour: evidence fades by the hour while nothing new is served.
pub(super) type Issue = (Edition, u32);

/// What was found in one issue.
#[derive(Debug, Default)]
pub(super) struct Kept {
    issue: Issue,
    found: HashMap<String, Rc<Found>>,
    order: VecDeque<String>,
}

impl Kept {
    pub(super) fn find(&self, issue: Issue, subject: &str) -> Option<Rc<Found>> {
        self.found.get(subject).filter(|_| self.issue == issue).cloned()
    }

    pub(super) fn keep(&mut self, issue: Issue, found: Rc<Found>) {
        if self.issue != issue {
            *self = Self { issue, ..Self::default() };
        }
        let subject = found.subject.text.clone();
        if self.found.insert(subject.clone(), found).is_none() {
            self.order.push_back(subject);
        }
        if self.order.len() > MOST
            && let Some(first) = self.order.pop_front()
        {
            self.found.remove(&first);
        }
    }
}

/// Subjects that are kept, some kilobytes each.
const MOST: usize = 256;
