//! `infamy pages`: manual pages and shell completions, written for whoever makes a package.
//!
//! They come from what the program itself prints and parses by, so that they cannot say anything else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::roff::{Roff, roman};

use crate::config::EXAMPLE;
use crate::rbldnsd::USAGE;

/// What `infamy pages` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder to write into; it is made if it is not there
    folder: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut command = super::Arguments::command();
    let folder = &arguments.folder;
    write(folder, &mut command).with_context(|| folder.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `infamy.1`, `infamy-SUBCOMMAND.1`, `infamy.toml.5`, `rbldnsd.8`, and a completion file for each shell under the
/// name it looks for.
fn write(folder: &Path, command: &mut Command) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    // `help` has no page of its own, as it prints the others
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), folder)?;
    let configuration = page("infamy.toml", "5", "the configuration of infamy", EXAMPLE);
    fs::write(folder.join("infamy.toml.5"), configuration)?;
    let rbldnsd = page("rbldnsd", "8", "DNS lists by rbldnsd's command line, served by infamy", USAGE);
    fs::write(folder.join("rbldnsd.8"), rbldnsd)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, command, "infamy", folder)?;
    }
    Ok(())
}

/// A page of a text as it stands.
fn page(name: &str, section: &str, what: &str, text: &str) -> String {
    let mut page = Roff::new();
    page.control("TH", [name, section]);
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {what}"))]);
    page.control("SH", ["DESCRIPTION"]).control("nf", []);
    for line in text.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]).text([roman("infamy(1), infamy-serve(1), infamy-rbldnsd(1)")]);
    page.to_roff()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_page_and_every_shell_its_completion() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = crate::cli::Arguments::command();
        write(folder.path(), &mut command).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for subcommand in command.get_subcommands().map(Command::get_name).filter(|name| *name != "help") {
            let page = read(&format!("infamy-{subcommand}.1"));
            assert!(page.contains(".TH"), "{subcommand}: {page}");
        }
        assert!(read("infamy.1").contains("infamy\\-serve(1)"));
        assert!(read("infamy.toml.5").contains("refuse\\-with") && read("rbldnsd.8").contains("\\-w DIR"));
        for file in ["infamy.bash", "_infamy", "infamy.fish"] {
            assert!(read(file).contains("lookup"), "{file}");
        }
    }
}
