//! Putting it into the files: checked first, then written as a whole. What is there is kept to the byte; more comes behind it.

use super::plan::{Addition, quoted};
use crate::cli::{Context, Failure, environment};
use crate::config::{Settings, load, variables, variables_file};
use std::io::Write as _;
use std::path::Path;

/// Writes both files.
///
/// # Errors
/// When the result would not be right, or a file cannot be written; what was there is there still then.
pub(super) fn apply(addition: &Addition, context: &Context) -> Result<Settings, Failure> {
    let (config, env) = (&context.config, variables_file(&context.config));
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    let old = (before(config)?, before(&env)?);
    let toml = behind(&old.0, &addition.toml);
    let settings = try_out(folder, &toml, &merged(&old.1, addition), context)?;
    // The secrets first: a file that names them must find them.
    if !addition.variables.is_empty() {
        replace(&env, &merged(&old.1, addition))?;
    }
    if !addition.toml.is_empty() {
        replace(config, &toml)?;
    }
    Ok(settings)
}

/// What is in a file; nothing when there is none.
fn before(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        result => result.map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", path.display()))),
    }
}

fn behind(old: &str, more: &str) -> String {
    let end = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    format!("{old}{end}{more}")
}

/// A variable that is there stays as it is, as long as it says something.
fn merged(old: &str, addition: &Addition) -> String {
    let known = variables(old);
    let new = addition.variables.iter().filter(|(name, _)| known.get(*name).is_none_or(String::is_empty));
    let lines: String = new.map(|(name, value)| format!("{name}={}\n", in_quotes(value))).collect();
    let head = if old.is_empty() { "# Secrets of Leadwire. Whoever can read this file can act in their name.\n" } else { "" };
    behind(old, &format!("{head}{lines}"))
}

fn in_quotes(value: &str) -> String {
    if value.contains('\'') { quoted(value) } else { format!("'{value}'") }
}

/// Reads both as the bridge would, in a folder of their own.
fn try_out(folder: &Path, toml: &str, env: &str, context: &Context) -> Result<Settings, Failure> {
    let failed = |error: std::io::Error| unwritten(folder, &error);
    let trial = tempfile::Builder::new().prefix(".leadwire-init").tempdir_in(folder).map_err(failed)?;
    let file = trial.path().join(context.config.file_name().unwrap_or_default());
    replace(&variables_file(&file), env)?;
    replace(&file, toml)?;
    let mut settings = load(&file, &context.connectors, environment()).map_err(|faults| {
        let shown = faults.to_string().replace(&file.display().to_string(), &context.config.display().to_string());
        Failure::Usage(format!("nothing was written, because the result would not be right:\n{shown}"))
    })?;
    settings.path.clone_from(&context.config);
    for warning in &mut settings.warnings {
        warning.file = context.config.display().to_string();
    }
    Ok(settings)
}

/// As a whole, and for nobody else to read.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        // Made with mode 600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        if let Ok(known) = std::fs::metadata(path)
            && path.file_name().is_none_or(|name| name != ".env")
        {
            file.as_file().set_permissions(known.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    write().map(drop).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{} cannot be written: {error}", path.display()))
}
