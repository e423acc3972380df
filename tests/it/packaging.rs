//! What packages bring besides the program: the start of instances as Debian's /etc/default/rbldnsd names them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the script for an instance; what the program would have been given is on stdout, an argument a line.
fn instance(defaults: &str, name: &[&str], handed_over: bool) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (defaults_path, program) = (folder.path().join("defaults"), folder.path().join("program"));
    fs::write(&defaults_path, defaults).unwrap();
    fs::write(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/rbldnsd/rbldnsd-instance");
    let command = match handed_over {
        // the shell's own process id is the one that the sockets are for, as exec keeps it
        true => format!("export LISTEN_FDS=1 LISTEN_PID=$$; exec {} \"$@\"", script.display()),
        false => format!("exec {} \"$@\"", script.display()),
    };
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &command, "sh"]).args(name);
    shell.env("RBLDNSD_DEFAULTS", &defaults_path).env("RBLDNSD_PROGRAM", &program);
    shell.env_remove("LISTEN_FDS").env_remove("LISTEN_PID");
    shell.output().unwrap()
}

fn arguments(output: &Output) -> Vec<&str> {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap().lines().collect()
}

const DEFAULTS: &str = r#"
# two instances
RBLDNSD="- -r/var/lib/rbldns -b127.2 \
  bl.example:ip4set:list
dsbl -r /var/lib/rbldns/dsbl -b 127.0.0.3/53 -b127.0.0.4 \
  list.example:ip4set:list,other \
  *.odd:dnset:x
"
"#;

#[test]
fn instances_of_debians_defaults_are_run_with_their_arguments() {
    let unnamed = instance(DEFAULTS, &[], false);
    assert_eq!(arguments(&unnamed), ["-n", "-r/var/lib/rbldns", "-b127.2", "bl.example:ip4set:list"]);
    let named = instance(DEFAULTS, &["dsbl"], false);
    let expected =
        ["-n", "-r", "/var/lib/rbldns/dsbl", "-b", "127.0.0.3/53", "-b127.0.0.4", "list.example:ip4set:list,other"];
    assert_eq!(arguments(&named), [&expected[..], &["*.odd:dnset:x"]].concat());
}

#[test]
fn addresses_give_way_to_sockets_that_are_handed_over() {
    let handed_over = instance(DEFAULTS, &["dsbl"], true);
    assert_eq!(
        arguments(&handed_over),
        ["-n", "-r", "/var/lib/rbldns/dsbl", "list.example:ip4set:list,other", "*.odd:dnset:x"]
    );
}

#[test]
fn an_instance_that_is_not_there_is_told() {
    let missing = instance(DEFAULTS, &["nobody"], false);
    assert_eq!(missing.status.code(), Some(2));
    let message = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(message.contains("no instance 'nobody'"), "{message}");
}

/// Debian's dpkg follows the link of `/lib`: of two directories that are one it loses what is put into the other. Only
/// what an operator changes is elsewhere.
#[test]
fn packages_put_what_there_is_below_usr() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    for package in [deb, &deb["variants"]["rbldnsd"]] {
        for asset in package["assets"].as_array().unwrap() {
            let [source, target] = [0, 1].map(|place| asset[place].as_str().unwrap());
            let is_changed =
                package["conf-files"].as_array().unwrap().iter().any(|file| file.as_str().unwrap()[1..] == *target);
            assert!(target.starts_with("usr/") || is_changed, "{target}");
            let is_made = source.starts_with("target/") || source.contains('*');
            assert!(is_made || folder.join(source).exists(), "{source}");
        }
        assert!(folder.join(package["maintainer-scripts"].as_str().unwrap()).is_dir());
    }
}
