//! What the documentation prints: each configuration in `docs/` that has a name is run by a test as it is printed.
//!
//! A fenced block is named by its info string: ```` ```conf name=unbound-stub ````.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The block of that name in a file of `docs/`.
pub(crate) fn snippet(file: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let named = format!("name={name}");
    let is_begin = |line: &&str| line.starts_with("```") && line.split(' ').any(|word| word == named);
    let mut lines = text.lines().skip_while(|line| !is_begin(line));
    assert!(lines.next().is_some(), "{}: no block {named}", path.display());
    lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

/// The block with the list's server in the place of the printed one, if it names one.
pub(crate) fn with_server(file: &str, name: &str, server: SocketAddr) -> String {
    let text = snippet(file, name);
    assert_eq!(server.port(), 53, "what is printed asks port 53");
    text.replace(PRINTED_SERVER, &server.ip().to_string())
}

/// The address that the documentation prints for the server of the lists.
const PRINTED_SERVER: &str = "192.0.2.53";
