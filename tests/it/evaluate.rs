//! `infamy evaluate` on a small Internet, where what it must find can be counted by hand.
//!
//! Two networks are announced, 203.0.113.0/24 and 198.18.0.0/15. In the first another address is listed every day, for two
//! days, up to a week after 2026-06-20; in the second one address is listed once, three days after it.

use std::fmt::Write;
use std::fs;
use std::process::{Command, Output};

/// What `infamy evaluate` says of the small Internet, with a list that begins so many days before 2026-06-20.
fn evaluate(days: i64, more: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let date = |day: i64| {
        // days from 2026-01-01; the year's months as far as they are needed
        let mut day = day;
        let mut month = 1;
        for length in [31, 28, 31, 30, 31, 30, 31] {
            if day < length {
                break;
            }
            (day, month) = (day - length, month + 1);
        }
        format!("2026-{month:02}-{:02}", day + 1)
    };
    let until = 31 + 28 + 31 + 30 + 31 + 19;
    let mut history = String::new();
    for day in -days..8 {
        writeln!(history, "203.0.113.{}\t{}\t{}", 160 + day, date(until + day), date(until + day + 2)).unwrap();
    }
    writeln!(history, "198.18.5.9\t{}\t", date(until + 3)).unwrap();
    fs::write(folder.path().join("history"), history).unwrap();
    fs::write(folder.path().join("routes"), "203.0.113.0/24\t64500\n198.18.0.0/15\t64501\n").unwrap();
    fs::write(folder.path().join("good"), "203.0.113.16/28\tmail\tours\n198.18.0.0/24\tcdn\tours\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
    command.current_dir(folder.path()).args(["evaluate", "--routes", "routes", "--history", "trap=history"]);
    (command.args(["--train-until", "2026-06-20"]).args(more).output().unwrap(), folder)
}

/// The value of a figure.
fn figure(text: &str, measure: &str, of: &str) -> f64 {
    let wanted = format!("2026-06-20,7,{measure},{of},");
    let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
    line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or_else(|| panic!("{wanted} in\n{text}"))
}

#[test]
fn what_came_after_is_counted_against_the_space_it_took() {
    let (output, folder) = evaluate(40, &["--good", "good", "--plot", "plot.svg"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // seven in the first network and one in the second
    assert_eq!(figure(&text, "new", "addresses"), 8.0);
    // two are listed on the day, so that the rules of one and of two take the network, and foresee seven of the eight
    for (rule, space) in [("/24>=1 stock", 1.0), ("/24>=2 stock", 1.0), ("/24>=4 stock", 0.0)] {
        assert_eq!(figure(&text, "space_24", rule), space, "{rule}");
        assert_eq!(figure(&text, "recall", rule), 0.875 * space, "{rule}");
    }
    // with the same space no ranking does better, and this one as well
    assert_eq!(figure(&text, "ratio", "/24>=2 stock"), 1.0);
    assert_eq!(figure(&text, "good", "mail: /24>=2"), 1.0);
    assert_eq!(figure(&text, "good", "cdn: /24>=2"), 0.0);
    let plot = fs::read_to_string(folder.path().join("plot.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.trim_end().ends_with("</svg>"));
}

#[test]
fn coefficients_are_not_fitted_on_weeks_without_evidence_nor_printed_without_a_gain() {
    let (output, _) = evaluate(40, &["--tune"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no evidence before it"), "{said}");

    // where one network has all there is, no coefficients foresee more than others
    let (output, _) = evaluate(140, &["--tune"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
}
