//! A process that is killed while it writes: everything it acknowledged is there, and nothing of half a submission.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

/// The name of the test that is the process to be killed.
const WRITER: &str = "evidence::store::tests::kills::writer_that_is_killed";
/// Where the writer finds its store.
const STORE: &str = "INFAMY_TEST_STORE";
/// Events of one submission, which is there whole or not at all.
const WHOLE: usize = 3;

#[test]
#[ignore = "the process that another test kills"]
fn writer_that_is_killed() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let journal = Journal::open(Box::new(SqliteLog::open(Path::new(&path)).unwrap()), |_| ()).unwrap();
    let out = Arc::new(Mutex::new(std::io::stdout()));
    let begin = std::process::id();
    for count in 0u32.. {
        let mark = format!("{begin}-{count}");
        let events = (0..WHOLE as i64)
            .map(|part| {
                let mut event = match part {
                    0 => report("192.0.2.1", count),
                    _ => change(&format!("{part}.{mark}.example"), i64::from(count), add(), None),
                };
                event.who.clone_from(&mark);
                event
            })
            .collect();
        let out = Arc::clone(&out);
        let ack = move |result: Result<Vec<Appended>, Refusal>| {
            let numbers = result.expect("a disk that works");
            let mut out = out.lock().unwrap();
            writeln!(out, "ack {mark} {}", numbers[0].number).and_then(|()| out.flush()).expect("a parent that reads");
        };
        while journal.health().waiting > 100_000 {
            std::thread::yield_now();
        }
        journal.submit(events, Box::new(ack));
    }
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", WRITER, "--nocapture", "--test-threads=1"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets it write until it has acknowledged something, and a little longer; kills it, and hands back what it acknowledged.
fn kill_while_writing(path: &Path, longer: Duration) -> Vec<(String, u64)> {
    let mut child = start(path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let parse = |line: &str| {
        let (mark, number) = line.strip_prefix("ack ")?.split_once(' ')?;
        Some((mark.to_owned(), number.parse().ok()?))
    };
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    // what the test harness writes comes first
    while acknowledged.is_empty() {
        let line = lines.next().expect("a writer that acknowledges").unwrap();
        acknowledged.extend(parse(&line));
    }
    let killer = std::thread::spawn(move || {
        std::thread::sleep(longer);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    // a last line may be cut
    acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| parse(&line)));
    killer.join().unwrap();
    acknowledged
}

#[test]
fn all_that_was_acknowledged_is_there_after_a_kill() {
    let kills: u64 = if std::env::var_os("INFAMY_LONG").is_some() { 200 } else { 5 };
    let (_folder, path) = folder();
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    for kill in 0..kills {
        // moments without a pattern, the same in each run
        let longer = Duration::from_micros(kill.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48);
        acknowledged.extend(kill_while_writing(&path, longer));
    }
    let mut log = SqliteLog::open(&path).unwrap();
    let all = all_of(&mut log);
    let mut by_mark: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for Numbered { number, event } in all {
        by_mark.entry(event.who).or_default().push(number);
    }
    for (mark, numbers) in &by_mark {
        let first = numbers[0];
        assert_eq!(*numbers, (first..first + WHOLE as u64).collect::<Vec<_>>(), "{mark} is there in part");
    }
    for (mark, number) in &acknowledged {
        // only the cut off digits of a last line could make it another number
        assert!(by_mark.get(mark).is_some_and(|numbers| numbers[0] >= *number), "{mark} was acknowledged, and is lost");
    }
    assert!(acknowledged.len() as u64 >= kills);
    assert_eq!(log.live_changes(0).unwrap().len(), (WHOLE - 1) * by_mark.len());
}
