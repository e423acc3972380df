//! Files that are not what they should be, and disks that do not do what they should.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

/// A store with so many reports, closed.
fn filled(path: &Path, reports: u32) {
    let mut log = SqliteLog::open(path).unwrap();
    let events: Vec<Event> = (0..reports).map(|n| report(&format!("192.0.{}.{}", n / 256 % 256, n % 256), n)).collect();
    append(&mut log, &events);
}

fn opened(path: &Path) -> LogError {
    SqliteLog::open(path).expect_err("a store that cannot be opened")
}

#[test]
fn a_file_that_is_no_store_is_named_and_left_as_it_is() {
    let (_folder, path) = folder();
    for content in [&b"192.0.2.1\n192.0.2.2\n"[..], &[0; 4096]] {
        fs::write(&path, content).unwrap();
        assert_eq!(opened(&path), LogError::NotAStore { path: path.clone() });
        assert_eq!(fs::read(&path).unwrap(), content);
        assert!(Reader::open(&path).is_err());
    }
    fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE somebody (elses)").unwrap();
    assert_eq!(opened(&path), LogError::NotAStore { path: path.clone() });
    assert!(matches!(Reader::open(&path.with_extension("none")), Err(LogError::Io { .. })));
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let (_folder, path) = folder();
    filled(&path, 1);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 9").unwrap();
    assert_eq!(opened(&path), LogError::Newer { path: path.clone(), found: 9, known: 2 });
    assert!(matches!(Reader::open(&path), Err(LogError::Newer { .. })));
}

#[test]
fn a_truncated_store_is_an_error_and_is_left_as_it_is() {
    let (_folder, path) = folder();
    filled(&path, 5000);
    let whole = fs::read(&path).unwrap();
    for length in [whole.len() / 2, whole.len() - 4096, 5000, 100] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = opened(&path);
        let is_told = matches!(error, LogError::Corrupt { .. } | LogError::NotAStore { .. });
        assert!(is_told && error.to_string().starts_with(&path.display().to_string()), "{length}: {error}");
        assert_eq!(fs::read(&path).unwrap(), &whole[..length], "{length}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(all_of(&mut SqliteLog::open(&path).unwrap()).len(), 5000);
}

#[test]
fn a_corrupt_page_is_an_error() {
    let (_folder, path) = folder();
    filled(&path, 5000);
    let whole = fs::read(&path).unwrap();
    for page in 1..whole.len() / 4096 {
        let mut broken = whole.clone();
        broken[page * 4096..page * 4096 + 200].fill(0xa5);
        fs::write(&path, &broken).unwrap();
        assert!(matches!(opened(&path), LogError::Corrupt { .. }), "page {page}");
    }
}

#[test]
fn one_server_at_a_time_has_a_store_and_readers_do_not_mind() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).unwrap();
    assert_eq!(opened(&path), LogError::InUse { path: path.clone() });
    append(&mut log, &[report("192.0.2.1", 1)]);
    let reader = Reader::open(&path).unwrap();
    append(&mut log, &[report("192.0.2.2", 1)]);
    assert_eq!(reader.reports(&Scope::parse("192.0.2.0/24").unwrap(), Time(0), 9).unwrap().len(), 2);
    drop(log);
    SqliteLog::open(&path).unwrap();
}

#[test]
fn a_store_that_another_program_has_locked_is_written_once_it_is_not() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).unwrap();
    log.connection().busy_timeout(Duration::ZERO).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(log.append(&[&[report("192.0.2.1", 1)]]), Err(LogError::Locked { path }));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(append(&mut log, &[report("192.0.2.1", 1)]), [1]);
}

#[test]
fn a_full_disk_heals_by_itself_and_keeps_what_was_there() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).unwrap();
    append(&mut log, &[report("192.0.2.1", 1)]);
    let limit = |log: &SqliteLog, pages: u32| {
        log.connection().query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&log, 1);
    let keyed = [with_key(report("192.0.2.2", 1), 7)];
    let large: Vec<Event> = (0..5000).map(|n| report("192.0.2.2", n)).collect();
    assert_eq!(log.append(&[&keyed, &large]), Err(LogError::Full { path }));
    assert_eq!(all_of(&mut log).len(), 1);
    limit(&log, 100_000);
    // neither a number nor a name nor a key is left of what failed
    assert_eq!(append(&mut log, &keyed), [2]);
    assert_eq!(append(&mut log, &large).len(), 5000);
    assert_eq!(all_of(&mut log).len(), 5002);
}

#[test]
fn a_store_that_became_read_only_is_told_and_written_again_later() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).unwrap();
    log.connection().execute_batch("PRAGMA query_only = ON").unwrap();
    assert_eq!(log.append(&[&[report("192.0.2.1", 1)]]), Err(LogError::ReadOnly { path }));
    log.connection().execute_batch("PRAGMA query_only = OFF").unwrap();
    assert_eq!(append(&mut log, &[report("192.0.2.1", 1)]), [1]);
}

/// A real disk that is full, and one that was remounted read-only.
#[test]
#[ignore = "needs root, as it mounts a file system"]
fn a_real_disk_fills_heals_and_becomes_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new("mount").args(arguments).arg(folder.path()).status().unwrap();
        assert!(status.success(), "mount {arguments:?}");
    };
    mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _mounted = Mounted(folder.path());
    let path = folder.path().join("evidence.db");
    let mut log = SqliteLog::open(&path).unwrap();
    let some: Vec<Event> = (0..1000).map(|n| report(&format!("192.0.2.{}", n % 256), n)).collect();
    let mut kept = 0;
    let error = loop {
        match log.append(&[&some]) {
            Ok(_) => kept += some.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Full { .. }), "{error}");
    assert_eq!(all_of(&mut log).len(), kept);
    mount(&["-o", "remount,size=64m"]);
    append(&mut log, &some);
    assert_eq!(all_of(&mut log).len(), kept + some.len());
    drop(log);
    mount(&["-o", "remount,ro"]);
    assert!(matches!(opened(&path), LogError::ReadOnly { .. }), "{}", opened(&path));
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.reports(&Scope::parse("192.0.2.0/24").unwrap(), Time(0), 10).unwrap().len(), 10);
}
