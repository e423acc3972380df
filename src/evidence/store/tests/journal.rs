//! The journal over logs that fail, wait and count.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

/// A log that keeps nothing, and does as it is told.
struct Told {
    next: u64,
    batches: Arc<Mutex<Vec<usize>>>,
    /// One message lets one commit go on; false makes it fail.
    gate: Receiver<bool>,
}

impl EvidenceLog for Told {
    fn append(&mut self, submissions: &[&[Event]]) -> Result<Vec<Result<Vec<Appended>, Conflict>>, LogError> {
        self.batches.lock().unwrap().push(submissions.len());
        if self.gate.recv() != Ok(true) {
            return Err(LogError::Full { path: "told".into() });
        }
        let mut keep = |_: &Event| {
            self.next += 1;
            Appended { number: self.next, is_new: true }
        };
        Ok(submissions.iter().map(|events| Ok(events.iter().map(&mut keep).collect())).collect())
    }

    fn replay(&mut self, _: u64, _: &mut dyn FnMut(Numbered)) -> Result<(), LogError> {
        Ok(())
    }

    fn live_changes(&mut self, _: i64) -> Result<Vec<Numbered>, LogError> {
        Ok(Vec::new())
    }

    fn prune(&mut self, _: &Retention, _: i64) -> Result<u64, LogError> {
        Ok(0)
    }
}

struct Scene {
    journal: Journal,
    gate: Sender<bool>,
    batches: Arc<Mutex<Vec<usize>>>,
    told: Receiver<u64>,
}

fn scene() -> Scene {
    let (gate, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let batches = Arc::default();
    let log = Told { next: 0, batches: Arc::clone(&batches), gate: wait };
    let journal = Journal::open(Box::new(log), move |event| tell.send(event.number).unwrap()).unwrap();
    Scene { journal, gate, batches, told }
}

type Answer = Receiver<Result<Vec<u64>, Refusal>>;

fn submit(journal: &Journal, events: Vec<Event>) -> Answer {
    let (tell, answer) = mpsc::channel();
    let numbers = |all: Vec<Appended>| all.into_iter().map(|appended| appended.number).collect();
    journal.submit(events, Box::new(move |result| tell.send(result.map(numbers)).unwrap()));
    answer
}

/// Waits until the log has been asked so many times.
fn await_batches(scene: &Scene, count: usize) {
    while scene.batches.lock().unwrap().len() < count {
        std::thread::yield_now();
    }
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn what_comes_while_a_commit_runs_is_the_next_commit() {
    let scene = scene();
    let mut answers = vec![submit(&scene.journal, vec![report("192.0.2.1", 1)])];
    await_batches(&scene, 1);
    for _ in 0..5 {
        answers.push(submit(&scene.journal, vec![report("192.0.2.1", 1), report("192.0.2.2", 1)]));
    }
    scene.gate.send(true).unwrap();
    scene.gate.send(true).unwrap();
    let numbers: Vec<u64> = answers.iter().flat_map(|answer| answer.recv_timeout(LONG).unwrap().unwrap()).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
    assert_eq!(*scene.batches.lock().unwrap(), [1, 5]);
    // the subscriber had them before
    assert_eq!(scene.told.try_iter().collect::<Vec<_>>(), numbers);
    assert_eq!((scene.journal.health().kept, scene.journal.health().last), (11, 11));
}

#[test]
fn a_commit_that_fails_is_told_to_all_and_the_next_is_tried() {
    let scene = scene();
    let first = submit(&scene.journal, vec![report("192.0.2.1", 1)]);
    await_batches(&scene, 1);
    let others = [(); 2].map(|()| submit(&scene.journal, vec![report("192.0.2.2", 1)]));
    for goes_on in [true, false, true] {
        scene.gate.send(goes_on).unwrap();
    }
    assert_eq!(first.recv_timeout(LONG).unwrap(), Ok(vec![1]));
    for other in others {
        assert!(matches!(other.recv_timeout(LONG).unwrap(), Err(Refusal::Log(LogError::Full { .. }))));
    }
    let last = submit(&scene.journal, vec![report("192.0.2.3", 1)]);
    assert_eq!(last.recv_timeout(LONG).unwrap(), Ok(vec![2]));
    assert_eq!(scene.told.try_iter().collect::<Vec<_>>(), [1, 2]);
    let health = scene.journal.health();
    assert_eq!((health.failures, health.error, health.waiting), (1, None, 0));
}

#[test]
fn too_much_that_waits_is_refused_and_nothing_wrong_is_taken() {
    let scene = scene();
    let large = || {
        let mut event = report("192.0.2.1", 1);
        if let What::Report(report) = &mut event.what {
            report.text = Some("x".repeat(MAX_TEXT));
        }
        vec![event; 1024]
    };
    let mut answers = vec![submit(&scene.journal, large())];
    await_batches(&scene, 1);
    let refused = loop {
        let answer = submit(&scene.journal, large());
        // what is not taken is answered at once, and nothing else is while the gate is shut
        match answer.try_recv() {
            Ok(refused) => break refused,
            Err(_) => answers.push(answer),
        }
        assert!(answers.len() < 100, "there is no limit");
    };
    assert_eq!(refused, Err(Refusal::Busy));
    assert!(scene.journal.health().waiting <= MAX_QUEUED);
    let wrong = submit(&scene.journal, vec![report("192.0.2.1", 1), report("word", 1)]);
    assert!(matches!(wrong.try_recv(), Ok(Err(Refusal::Event { index: 1, .. }))));
    answers.iter().for_each(|_| scene.gate.send(true).unwrap());
    assert!(answers.iter().all(|answer| answer.recv_timeout(LONG).unwrap().is_ok()));
}

#[test]
fn what_waits_is_kept_before_the_end() {
    let Scene { journal, gate, batches, told } = scene();
    let answers: Vec<Answer> = (0..10).map(|_| submit(&journal, vec![report("192.0.2.1", 1)])).collect();
    (0..10).for_each(|_| gate.send(true).unwrap());
    drop(journal);
    assert!(answers.iter().all(|answer| answer.try_recv().unwrap().is_ok()));
    assert_eq!(told.iter().count(), 10);
    assert_eq!(batches.lock().unwrap().iter().sum::<usize>(), 10);
}

#[test]
fn an_acknowledgement_that_panics_closes_the_journal() {
    let scene = scene();
    scene.journal.submit(vec![report("192.0.2.1", 1)], Box::new(|_| panic!("as the test wants")));
    await_batches(&scene, 1);
    let waiting = submit(&scene.journal, vec![report("192.0.2.2", 1)]);
    scene.gate.send(true).unwrap();
    assert!(waiting.recv_timeout(LONG).is_err(), "nobody answers, and nobody waits");
    let late = submit(&scene.journal, vec![report("192.0.2.3", 1)]);
    assert_eq!(late.try_recv(), Ok(Err(Refusal::Closed)));
}
