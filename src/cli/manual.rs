//! `leadwire completions` and `leadwire man`: made from the description of the command line, so that they cannot lag behind it.

use super::{Arguments, Failure, show};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// Whose completions: they go to standard output, for a file that the shell reads.
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Where the pages go, one for each command; made when it is missing.
    directory: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "leadwire", &mut script);
    show::line(String::from_utf8_lossy(&script).trim_end())
}

pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    write_pages(&args.directory).map_err(|error| {
        let advice = if error.kind() == ErrorKind::PermissionDenied { "; name a folder that is yours" } else { "" };
        Failure::Failed(format!("the pages cannot be written to {}: {error}{advice}", args.directory.display()))
    })
}

fn write_pages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Arguments::command(), directory)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use clap::ValueEnum as _;

    /// The words that lead to each command, but for `help`, which has copies of all.
    fn commands(command: &clap::Command, path: &str) -> Vec<String> {
        let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
        below
            .flat_map(|below| {
                [vec![format!("{path}-{}", below.get_name())], commands(below, &format!("{path}-{}", below.get_name()))].concat()
            })
            .collect()
    }

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let folder = tempfile::tempdir().unwrap();
        write_pages(&folder.path().join("man/man1")).unwrap();
        let mut command = Arguments::command();
        command.build();
        for name in commands(&command, "leadwire").iter().chain([&"leadwire".to_owned()]) {
            let page =
                std::fs::read_to_string(folder.path().join(format!("man/man1/{name}.1"))).unwrap_or_else(|_| panic!("no page {name}.1"));
            for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", "\\-\\-config"] {
                assert!(page.contains(part), "{name}.1 has no {part}");
            }
        }
    }

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "leadwire", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["leadwire", "quarantine", "completions", "config"] {
                assert!(script.contains(word), "{shell} does not know {word}");
            }
        }
    }
}
