//! Making sure that what was erased is gone from the file.
//!
//! Deleted rows are overwritten as they go (`secure_delete`), but SQLite moves rows between pages, and other connections may have left
//! copies behind before: so the file is looked through, byte by byte, and written anew when something is left.

use super::Sqlite;
use crate::store::{Error, Needle, Progress, Remain, Result, Scrubbed};
use memchr::memmem::Finder;
use rusqlite::Connection;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Read in one go.
const CHUNK: usize = 1 << 20;
/// How long readers and writers beside us may keep the log from being emptied, or the file from being written anew.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every column with text that came from outside.
const TEXTS: [&str; 10] = [
    "SELECT email, phone, session_id, body FROM event",
    "SELECT record_id, record_url, remark, cause FROM delivery",
    "SELECT code, message, excerpt FROM attempt",
    "SELECT name, remote_id FROM step",
    "SELECT client, reason, header, body FROM quarantine",
    "SELECT hold_reason FROM destination",
    "SELECT delivery, place, arrived FROM erasure",
    "SELECT head, removed FROM certificate",
    "SELECT first, body FROM search_page",
    "SELECT who, client, target, detail, failure FROM action",
];

impl Sqlite {
    pub(in crate::store) async fn scrub(&self, needles: Vec<Needle>, anew: bool, progress: Progress) -> Result<Scrubbed> {
        let path = self.readers.path.clone();
        let scrubbed = tokio::task::spawn_blocking(move || scrub(&path, &needles, anew, &progress)).await;
        scrubbed.map_err(|error| Error::Unavailable(format!("the file was not looked through to its end: {error}")))?
    }
}

fn scrub(path: &Path, needles: &[Needle], anew: bool, progress: &Progress) -> Result<Scrubbed> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("PRAGMA secure_delete = ON; PRAGMA synchronous = FULL;")?;
    let finders: Vec<Finder<'_>> = needles.iter().map(|needle| Finder::new(needle.text.as_bytes())).collect();
    empty_log(&connection)?;
    if !anew {
        let scrubbed = look(path, &connection, needles, &finders, progress)?;
        if scrubbed.remains.iter().all(|remain| remain.left() == 0) {
            return Ok(scrubbed);
        }
    }
    connection.execute_batch("VACUUM")?;
    empty_log(&connection)?;
    Ok(Scrubbed { rewritten: true, ..look(path, &connection, needles, &finders, progress)? })
}

/// Brings everything into the file and cuts the log to nothing: old pages in it would still have what newer ones lack.
#[expect(clippy::disallowed_methods, reason = "this thread is for work that blocks")]
fn empty_log(connection: &Connection) -> Result<()> {
    let started_at = Instant::now();
    loop {
        let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !is_busy {
            return Ok(());
        }
        if started_at.elapsed() > PATIENCE {
            let why = "others kept reading or writing, so that the store's log could not be emptied; erase once more at a quieter time";
            return Err(Error::Unavailable(why.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn look(path: &Path, connection: &Connection, needles: &[Needle], finders: &[Finder<'_>], progress: &Progress) -> Result<Scrubbed> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let total = [path, &log].iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
    let mut done = 0;
    let mut advance = |bytes: u64| {
        done += bytes;
        progress(done, total);
    };
    let in_file = count_in_file(path, finders, &mut advance)?;
    let in_log = count_in_file(&log, finders, &mut advance)?;
    let in_rows =
        if in_file.iter().chain(&in_log).any(|count| *count > 0) { count_in_rows(connection, finders)? } else { vec![0; finders.len()] };
    let counts = in_file.iter().zip(&in_log).zip(&in_rows);
    let remains = needles.iter().zip(counts).map(|(needle, ((file, log), rows))| {
        // What others write meanwhile is in the log and, sooner or later, in the file as well: counted once.
        let in_files = if *rows > 0 { *file } else { file + log };
        Remain { label: needle.label, in_files, in_rows: *rows }
    });
    let files = [path, &log].iter().map(|path| path.display().to_string()).collect();
    Ok(Scrubbed { files, bytes: done, rewritten: false, note: None, remains: remains.collect() })
}

/// How often each needle is in the file; never, when there is no file.
fn count_in_file(path: &Path, finders: &[Finder<'_>], advance: &mut dyn FnMut(u64)) -> Result<Vec<u64>> {
    let failed = |error: std::io::Error| Error::Unavailable(format!("{} cannot be read: {error}", path.display()));
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![0; finders.len()]),
        file => file.map_err(failed)?,
    };
    let mut counts = vec![0; finders.len()];
    let mut windows: Vec<Vec<u8>> = vec![Vec::new(); finders.len()];
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = file.read(&mut chunk).map_err(failed)?;
        let read = chunk.get_mut(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(counts);
        }
        read.make_ascii_lowercase();
        for ((finder, count), window) in finders.iter().zip(&mut counts).zip(&mut windows) {
            window.extend_from_slice(read);
            *count += finder.find_iter(window).count() as u64;
            // As much as could be the beginning of one that ends in the next chunk, and none that was counted.
            let kept = finder.needle().len().saturating_sub(1);
            window.drain(..window.len().saturating_sub(kept));
        }
        advance(length as u64);
    }
}

fn count_in_rows(connection: &Connection, finders: &[Finder<'_>]) -> Result<Vec<u64>> {
    let mut counts = vec![0; finders.len()];
    for sql in TEXTS {
        let mut query = connection.prepare(sql)?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                let mut text = row.get_ref(column)?.as_bytes_or_null().ok().flatten().unwrap_or_default().to_vec();
                text.make_ascii_lowercase();
                for (finder, count) in finders.iter().zip(&mut counts) {
                    *count += finder.find_iter(&text).count() as u64;
                }
            }
        }
    }
    Ok(counts)
}
