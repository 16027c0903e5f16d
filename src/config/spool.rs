//! Where the spool is: it is of use only where the store's trouble does not reach.

use super::reader::Reader;
use super::settings::{Store, StoreUrl};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

const PLACE: [&str; 2] = ["store", "spool"];
const HELP: &str = "name a folder of its own on another volume, such as \"/var/spool/leadwire\"";

/// Looks at the folders as they are now, and makes none.
pub(super) fn check(reader: &mut Reader<'_>, store: &Store) {
    let Some(spool) = &store.spool else {
        if reader.layers.merged.get("store").is_some_and(|table| table.get("spool_max_bytes").is_some()) && !reader.is_faulty(&PLACE) {
            reader.warn(&["store", "spool_max_bytes"], "`spool_max_bytes` does nothing without `spool`", "add `spool`, or remove it");
        }
        return;
    };
    if let Some(file) = find_file(spool) {
        return reader.fault(&PLACE, format!("the spool is a folder, and {} is a file", file.display()), HELP);
    }
    let Some(folder) = folder_of(&store.url) else { return };
    if absolute(spool) == absolute(folder) {
        reader.fault(&PLACE, "the spool is the folder of the store itself", HELP);
    } else if device(spool).is_some() && device(spool) == device(folder) {
        reader.warn(&PLACE, "the spool is on the same file system as the store: when that is full or broken, both are", HELP);
    }
}

/// Where the store's own file is, if it has one.
fn folder_of(url: &StoreUrl) -> Option<&Path> {
    match url {
        StoreUrl::Sqlite(file) => Some(file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))),
        StoreUrl::Postgres(_) => None,
    }
}

/// The part of the path that is there and is no folder, so that no folder can be made of it.
fn find_file(spool: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(spool).ok()?;
    whole
        .ancestors()
        .find_map(|path| Some((path, std::fs::metadata(path).ok()?)))
        .filter(|(_, found)| !found.is_dir())
        .map(|(path, _)| path.to_owned())
}

/// Of the folder, or of the one that it would be made in.
fn device(folder: &Path) -> Option<u64> {
    absolute(folder).ancestors().find_map(|ancestor| std::fs::metadata(ancestor).ok()).map(|found| found.dev())
}

/// Without symbolic links as far as the folder is there, and without `..` beyond, so that one folder has one path.
fn absolute(folder: &Path) -> PathBuf {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let Some((known, real)) = whole.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?))) else { return whole };
    whole.strip_prefix(known).unwrap_or(Path::new("")).components().fold(real, |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
        path
    })
}
