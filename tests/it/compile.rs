//! `infamy compile` as its operator sees it, and what other commands make of its files.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Runs the program in a folder; its exit code, stdout and stderr.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_infamy")).current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("build.toml"), BUILD).unwrap();
    fs::write(folder.path().join("serve.toml"), SERVE).unwrap();
    fs::write(folder.path().join("drop.txt"), "192.0.2.0/31\n10.0.0.1\n192.0.2.300\n2001:db8::/64\n").unwrap();
    fs::write(folder.path().join("names.txt"), "spam.example\n").unwrap();
    folder
}

#[test]
fn a_dataset_or_files_become_the_same_file() {
    let folder = folder();
    let (code, out, error) = run(folder.path(), &["compile", "--config", "build.toml", "drop", "-o", "drop.infamy"]);
    assert_eq!((code, &*error), (0, ""));
    let told: Vec<&str> = out.lines().collect();
    assert_eq!(
        told[..2],
        [
            "drop.txt:2: 10.0.0.1 is left out: it is on the never-list: private (RFC 1918)",
            "drop.txt:3: `192.0.2.300` is no address, range or domain",
        ]
    );
    let bytes = fs::read(folder.path().join("drop.infamy")).unwrap();
    assert_eq!(told[2], format!("drop.infamy: 3 entries, {} bytes", bytes.len()));
    let options = ["compile", "--format", "plain", "--text", "Listed: $", "--value", "127.0.0.9", "--ttl", "1m"];
    let (code, ..) = run(folder.path(), &[&options[..], &["drop.txt", "-o", "same.infamy"]].concat());
    assert_eq!(code, 0);
    assert!(fs::read(folder.path().join("same.infamy")).unwrap() == bytes);
    let (code, out, _) = run(folder.path(), &["compile", "--verify", "drop.infamy", "same.infamy"]);
    let whole = |name: &str| format!("{name}: whole, {} bytes\n", bytes.len());
    assert_eq!((code, out), (0, whole("drop.infamy") + &whole("same.infamy")));
}

#[test]
fn what_is_compiled_is_looked_up_dumped_and_served() {
    let folder = folder();
    for dataset in ["drop", "names"] {
        let output = format!("{dataset}.infamy");
        assert_eq!(run(folder.path(), &["compile", "--config", "build.toml", dataset, "-o", &output]).0, 0);
    }
    let lookup = ["lookup", "--config", "serve.toml", "192.0.2.1", "192.0.2.2", "127.0.0.2", "www.spam.example"];
    let (code, out, _) = run(folder.path(), &lookup);
    let expected = "192.0.2.1
  bl.example: listed, 127.0.0.9 \"Listed: 192.0.2.1\"
    drop drop.infamy: 127.0.0.9 \"Listed: 192.0.2.1\"
192.0.2.2
  bl.example: not listed, NXDOMAIN
127.0.0.2
  bl.example: listed, 127.0.0.2 \"Test entry (RFC 5782, section 5)\"
    test entry (RFC 5782, section 5)
www.spam.example
  dbl.example: listed, 127.0.0.2
    names names.infamy: 127.0.0.2
";
    assert_eq!((code, &*out), (0, expected));
    let (code, out, _) = run(folder.path(), &["check", "serve.toml"]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = run(folder.path(), &["dump", "--config", "serve.toml", "bl.example"]);
    assert!(code == 0 && out.contains("1.2.0.192"), "{out}");
    let (code, _, error) = run(folder.path(), &["dump", "--config", "serve.toml", "dbl.example"]);
    assert!(code == 2 && error.contains("names.infamy: names and digests cannot be read back"), "{error}");
}

#[test]
fn what_cannot_be_compiled_or_served_is_one_line() {
    let folder = folder();
    let error = |arguments: &[&str]| {
        let (code, _, error) = run(folder.path(), arguments);
        assert_eq!(code, 2, "{error}");
        error
    };
    let compile = ["compile", "--config", "build.toml", "drop", "-o", "drop.infamy"];
    assert_eq!(run(folder.path(), &compile).0, 0);
    let told = error(&["compile", "--config", "build.toml", "lost", "-o", "x"]);
    assert_eq!(told, "error: build.toml: dataset lost: not defined here; for files, name their --format\n");
    let told = error(&["compile", "--format", "plain", "lost.txt", "-o", "x"]);
    assert!(told.contains("lost.txt: No such file"), "{told}");
    let told = error(&["compile", "--format", "plain", "drop.txt", "-o", "lost/x"]);
    assert!(told.starts_with("error: lost/x: No such file"), "{told}");
    let told = error(&["compile", "--format", "plain", "names.txt", "-o", "./names.txt"]);
    assert!(told.starts_with("error: ./names.txt: is one of the lists"), "{told}");
    assert_eq!(fs::read_to_string(folder.path().join("names.txt")).unwrap(), "spam.example\n");
    let told = error(&["compile", "--verify", "drop.txt"]);
    assert_eq!(told, "error: drop.txt: not a compiled file: the magic bytes at its beginning are missing\n");
    assert!(!folder.path().join("x").exists());

    for (change, expected) in [
        (
            "files = [\"drop.infamy\", \"drop.txt\"]",
            "serve.toml:3: dataset drop: files: drop.infamy is a compiled file",
        ),
        ("files = \"drop.infamy\"\ntext = \"x\"", "serve.toml:3: dataset drop: text: its file is compiled"),
        ("files = \"drop.infamy\"\nformat = \"hosts\"", "drop.infamy: compiled from another format"),
    ] {
        fs::write(folder.path().join("serve.toml"), SERVE.replace("files = \"drop.infamy\"", change)).unwrap();
        let told = error(&["check", "serve.toml"]);
        assert!(told.contains(expected), "{told}");
    }
}

const BUILD: &str = r#"version = 1
[[dataset]]
name = "drop"
format = "plain"
files = "drop.txt"
value = "127.0.0.9"
text = "Listed: $"
ttl = 60
[[dataset]]
name = "names"
format = "plain"
files = "names.txt"
"#;
const SERVE: &str = r#"version = 1
[[dataset]]
name = "drop"
files = "drop.infamy"
[[dataset]]
name = "names"
format = "plain"
files = "names.infamy"
memory = "copy"
[listen]
addresses = ["127.0.0.1:0"]
[[zone]]
apex = "bl.example"
datasets = ["drop"]
[[zone]]
apex = "dbl.example"
datasets = ["names"]
"#;
