//! dig and kdig, as people ask by hand: the documentation's transcript.

use std::process::Command;

use super::Lists;
use crate::snippet::snippet;

#[test]
#[ignore = "needs bind9-dnsutils, knot-dnsutils, and root for port 53"]
fn the_transcript_of_dig_is_what_dig_prints() {
    let lists = Lists::serve();
    let text = snippet("clients.md", "dig");
    let (mut commands, mut expected) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => {
                commands.push(command);
                expected.push(String::new());
            }
            None => *expected.last_mut().unwrap() += &format!("{line}\n"),
        }
    }
    for (command, expected) in commands.into_iter().zip(expected) {
        let mut words = command.split(' ');
        let mut program = Command::new(words.next().unwrap());
        // TCP is not the relay's; it is the server that is asked
        let output = program.arg(format!("@{}", lists.server.ip())).args(words).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        eprintln!("$ {command}\n{printed}");
        assert_eq!(printed, expected, "{command}");
    }
}
