//! Proving that a folder can be written, whoever owns it.

use super::HIDDEN;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// No name of a finished file, and hidden from most that look.
const PROBE: &str = ".leadwire-probe";

/// Writes a file where rows would go, or where the folder would be made, and removes it again. Says what is worth knowing.
pub(crate) fn probe(directory: &Path) -> io::Result<String> {
    let hidden = directory.join(HIDDEN);
    let nearest = hidden.ancestors().map(or_here).find(|place| !is_missing(place)).unwrap_or(directory);
    let path = nearest.join(PROBE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(b"probe")?;
        file.sync_all()
    });
    match fs::remove_file(&path) {
        // Somebody else proves the same at the same time.
        Err(error) if written.is_ok() && error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => written?,
    }
    let how = if is_missing(directory) { "can be made at the first row" } else { "can be written" };
    Ok(format!("{how}{}", free_space(nearest)))
}

/// The last ancestor of a relative path is empty.
fn or_here(place: &Path) -> &Path {
    if place.as_os_str().is_empty() { Path::new(".") } else { place }
}

/// A link that leads nowhere is there, and in the way.
fn is_missing(place: &Path) -> bool {
    fs::symlink_metadata(place).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(unix)]
fn free_space(path: &Path) -> String {
    const MIB: u64 = 1 << 20;
    rustix::fs::statvfs(path)
        .map_or_else(|_| String::new(), |found| format!(", {} MiB are free", found.f_bavail.saturating_mul(found.f_frsize) / MIB))
}

#[cfg(not(unix))]
fn free_space(_path: &Path) -> String {
    String::new()
}
