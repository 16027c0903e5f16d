//! Leadwire with one connector more.

fn main() -> std::process::ExitCode {
    leadwire::cli::run(leadwire::connectors::builtin().with(leadwire_acme::KIND))
}
