//! The direction of the flow: a room imports only rooms that stand before it.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in the order of the flow. One imports only those before it, and of those not the ones named behind it.
const ROOMS: [(&str, &[&str]); 20] = [
    ("dnsxl", &[]),
    ("feed", &[]),
    ("table", &["feed"]),
    ("dataset", &[]),
    ("live", &[]),
    ("evidence", &["table", "dataset", "live"]),
    ("neighborhood", &["table"]),
    ("zone", &[]),
    ("cookie", &[]),
    ("snapshot", &[]),
    ("answer", &[]),
    ("reload", &["answer"]),
    ("server", &["reload"]),
    ("metrics", &["reload"]),
    ("query_log", &["reload", "metrics"]),
    ("http", &["reload"]),
    ("config", &[]),
    ("export", &["server"]),
    ("rbldnsd", &["config"]),
    ("cli", &[]),
];

/// Rooms without clock, log, event loop.
const PURE: [&str; 10] =
    ["dnsxl", "feed", "table", "dataset", "live", "evidence", "neighborhood", "zone", "cookie", "answer"];
const NOT_PURE: [&str; 6] = ["tokio::", "tracing::", "SystemTime", "Instant::now", "async fn", "println!"];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 2] = ["server/mmsg.rs", "table/memory.rs"];

#[test]
fn rooms_import_what_stands_before_them() {
    for (path, text) in sources() {
        let room = room_of(&path);
        // the crate's own two files have all of them
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let at = ROOMS.iter().position(|(name, _)| *name == room);
        let at = at.unwrap_or_else(|| panic!("{}: the room {room} has no place in the flow", path.display()));
        for imported in imports(&text).into_iter().filter(|imported| *imported != room) {
            let place = ROOMS.iter().position(|(name, _)| *name == imported);
            let allowed = place.is_some_and(|place| place < at) && !ROOMS[at].1.contains(&&*imported);
            assert!(allowed, "{}: {room} imports {imported}", path.display());
        }
    }
}

#[test]
fn the_core_knows_no_clock_no_log_and_no_event_loop() {
    for (path, text) in sources() {
        let is_pure = PURE.contains(&&*room_of(&path));
        let found = NOT_PURE.iter().find(|word| is_pure && text.contains(**word));
        assert!(found.is_none(), "{}: {found:?}", path.display());
    }
}

#[test]
fn one_file_knows_hickory() {
    let knows = |text: &String| text.contains("hickory_server::") || text.contains("hickory_proto::");
    let files: Vec<PathBuf> = sources().into_iter().filter(|(_, text)| knows(text)).map(|(path, _)| path).collect();
    assert_eq!(files, [Path::new("server/hickory.rs")]);
}

#[test]
fn unsafe_code_stands_where_it_is_looked_for() {
    for (path, text) in sources() {
        let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "(unsafe_code"];
        let found = is_unsafe.iter().find(|word| text.contains(**word));
        assert!(found.is_none() || UNSAFE.iter().any(|known| path == Path::new(known)), "{}", path.display());
    }
}

/// The program's files with their text, relative to `src`, comments and tests left out.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
                let text = fs::read_to_string(&path).unwrap();
                let program = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                let code: Vec<&str> = program.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), code.join("\n")));
            }
        }
    }
    assert!(files.len() > 40, "the sources are not where they were");
    files
}

/// Whether a file is tests alone.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.parent().is_some_and(|folder| folder.ends_with("tests"))
}

/// The room that a file is in: its folder in `src`, or its own name.
fn room_of(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a text names as `crate::room`, or in the braces of `crate::{…}`.
fn imports(text: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect() };
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => found.push(word(rest)),
            Some(inner) => {
                let (mut depth, mut begins) = (1, true);
                for (at, c) in inner.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => begins = true,
                        _ if begins && !c.is_whitespace() => {
                            found.push(word(&inner[at..]));
                            begins = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}
