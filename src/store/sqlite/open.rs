//! Opening the file: to write, to read beside a bridge, and to read where nothing can be written.

use super::checkpoint::Checkpointer;
use super::schema::{self, read_version};
use super::writer::{Unit, Writer};
use super::{Readers, Sqlite, search};
use crate::failpoint;
use crate::store::names::Names;
use crate::store::{Error, Result};
use crate::swap::Swap;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a connection waits for a lock of another.
const BUSY: Duration = Duration::from_secs(5);
/// The same for the writer of a bridge. It repeats what fails, and two waits one after the other end before the patience with a sick
/// store does, so that the log can say that it is a lock.
const BUSY_IN_A_BRIDGE: Duration = Duration::from_secs(2);

impl Sqlite {
    /// Opens the file, makes or migrates the schema, and registers the names of the configuration.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or is of another program or a newer version.
    pub(in crate::store) fn open<'a>(
        path: &Path,
        sources: impl IntoIterator<Item = &'a String>,
        destinations: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder_of(path)).map_err(|error| unusable(folder_of(path), &error))?;
        open_private(path).map_err(|error| unusable(path, &error))?;
        let open = || {
            let mut connection = open_writer(path)?;
            schema::migrate(&mut connection)?;
            let names = Names {
                sources: register(&connection, "source", sources, true)?,
                destinations: register(&connection, "destination", destinations, true)?,
            };
            Self::on(path, connection, open_reader, names)
        };
        open().map_err(|error| named(path, error))
    }

    /// The same for what only reads: also where neither the file nor its folder can be written, and then without names that are new.
    ///
    /// # Errors
    /// Of [`Self::open`]; where nothing can be written, also when the schema is older than this program.
    pub(in crate::store) fn open_to_read<'a>(
        path: &Path,
        sources: impl IntoIterator<Item = &'a String> + Clone,
        destinations: impl IntoIterator<Item = &'a String> + Clone,
    ) -> Result<Self> {
        match Self::open(path, sources.clone(), destinations.clone()) {
            Err(_) if is_read_only(path) => Self::open_read_only(path, sources, destinations).map_err(|error| named(path, error)),
            result => result,
        }
    }

    pub(super) fn open_read_only<'a>(
        path: &Path,
        sources: impl IntoIterator<Item = &'a String>,
        destinations: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        let connection = read_as_it_is(path)?;
        refuse_old(&connection)?;
        let names = Names {
            sources: register(&connection, "source", sources, false)?,
            destinations: register(&connection, "destination", destinations, false)?,
        };
        Self::on(path, connection, read_as_it_is, names)
    }

    /// Gives further names their numbers.
    pub(in crate::store) async fn register(&self, sources: Vec<String>, destinations: Vec<String>) -> Result<()> {
        let work = move |unit: &mut Unit<'_>| {
            Ok(Names {
                sources: register(unit.connection, "source", &sources, true)?,
                destinations: register(unit.connection, "destination", &destinations, true)?,
            })
        };
        let more = self.writer.write(work).await?;
        self.names.put(self.names.now().with(more));
        Ok(())
    }

    /// From now on the writer waits for a lock as a bridge does.
    pub(super) async fn become_impatient(&self) -> Result<()> {
        self.writer.write(|unit| Ok(unit.connection.busy_timeout(BUSY_IN_A_BRIDGE)?)).await
    }

    fn on(path: &Path, writer: Connection, open: fn(&Path) -> Result<Connection>, names: Names) -> Result<Self> {
        let readers = Arc::new(Readers { path: path.to_owned(), open, idle: Mutex::default() });
        Ok(Self {
            writer: Writer::start(writer, Checkpointer::start(path)?)?,
            readers,
            names: Arc::new(Swap::new(names)),
            walk: Arc::default(),
        })
    }
}

/// Which file it is about.
pub(super) fn named(path: &Path, error: Error) -> Error {
    match error {
        Error::Unavailable(why) => Error::Unavailable(format!("{}: {why}", path.display())),
        Error::Refused(why) => Error::Refused(format!("{}: {why}", path.display())),
    }
}

/// What a person does about it.
pub(super) fn remedy(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::DiskFull => "; make room on its disk",
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            "; this user must be able to write the file, the files beside it that begin with its name, and their folder"
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => "; another program holds it",
        _ => "",
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file beside the store whose name begins with that of the store.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(ending);
    PathBuf::from(name)
}

/// Takes the lock of the file, which a bridge holds while it runs; `None` when another process has it. It goes with the process.
pub(super) fn lock(path: &Path) -> Result<Option<File>> {
    let path = beside(path, ".lock");
    let lock = open_private(&path).map_err(|error| unusable(&path, &error))?;
    Ok(lock.try_lock().is_ok().then_some(lock))
}

/// The same for one that only reads, and may have nothing to write there: then the lock is one that a bridge has left, if any ever ran.
/// `Err` when another process has it.
pub(super) fn lock_to_read(path: &Path) -> std::result::Result<Option<File>, InUse> {
    let path = beside(path, ".lock");
    let Ok(lock) = open_private(&path).or_else(|_| File::open(&path)) else { return Ok(None) };
    lock.try_lock().map_err(|_| InUse)?;
    Ok(Some(lock))
}

/// Another process has the lock.
#[derive(Debug)]
pub(super) struct InUse;

/// A disk may be mounted or mended in a moment; a file where a folder should be stays one.
pub(super) fn unusable(path: &Path, error: &std::io::Error) -> Error {
    use ErrorKind::{AlreadyExists, InvalidInput, IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    let told = format!("{} cannot be used: {error}", path.display());
    match error.kind() {
        AlreadyExists | InvalidInput | IsADirectory | NotADirectory => Error::Refused(told),
        PermissionDenied | ReadOnlyFilesystem => Error::Unavailable(format!("{told}; this user must be able to write it, and its folder")),
        _ => Error::Unavailable(told),
    }
}

/// The file holds personal data: a new one is for its owner alone, and SQLite gives its companions the same mode. So is the lock: who can
/// open it can take it, and keep the bridge from starting.
fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(96);
    plan_once(&connection)?;
    // Before anything is set: another program's file stays as it is.
    read_version(&connection)?;
    // Only a file that is still empty takes it; one that has it would be written to.
    if connection.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0))? != schema::INCREMENTAL {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = OFF;
         PRAGMA recursive_triggers = ON;
         PRAGMA wal_autocheckpoint = 16000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = FAST;",
    )?;
    if failpoint::reach_blocking(failpoint::STORE_CARELESS).is_err() {
        connection.execute_batch("PRAGMA synchronous = OFF;")?;
    }
    Ok(connection)
}

/// Else SQLite plans some statements anew for each value they are asked about, which takes longer than the statement (its "query planner
/// stability guarantee", <https://www.sqlite.org/queryplanner-ng.html#qpstab>).
fn plan_once(connection: &Connection) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// For reading beside others that write.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    prepare_reader(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

fn prepare_reader(connection: Connection) -> Result<Connection> {
    connection.busy_timeout(BUSY)?;
    plan_once(&connection)?;
    connection.execute_batch("PRAGMA cache_size = -4096;")?;
    search::add_functions(&connection)?;
    Ok(connection)
}

/// For reading where nothing can be written.
///
/// # Errors
/// Of [`read_still`].
fn read_as_it_is(path: &Path) -> Result<Connection> {
    read_still(path, is_in_use(path))
}

/// For reading where nothing can be written. SQLite wants files beside one that has a log, even for reading, so a file that nobody
/// writes to and whose log is empty is read as one that does not change. With a log, the files that are there must do.
///
/// # Errors
/// When the log cannot be read without writing.
pub(super) fn read_still(path: &Path, is_in_use: bool) -> Result<Connection> {
    if find_log(path).is_none() && !is_in_use {
        return prepare_reader(open_immutable(path)?);
    }
    let log = beside(path, "-wal");
    open_reader(path).map_err(|error| match error {
        Error::Unavailable(_) if !beside(path, "-shm").is_file() => Error::Refused(format!(
            "a part of it is still in its log, {}, which SQLite cannot read without writing beside it: let this user write both files and \
             their folder, or copy the two together to a folder that can be written",
            log.display()
        )),
        error => error,
    })
}

/// Whether a bridge or a transfer runs on the file, as far as this process can see.
fn is_in_use(path: &Path) -> bool {
    match File::open(beside(path, ".lock")) {
        Ok(lock) => lock.try_lock_shared().is_err(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Whether this process cannot write the file or its folder.
pub(super) fn is_read_only(path: &Path) -> bool {
    let is_barred = |error: std::io::Error| matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem);
    path.is_file()
        && (File::options().append(true).open(path).is_err_and(is_barred) || tempfile::tempfile_in(folder_of(path)).is_err_and(is_barred))
}

/// What only reads brings no schema up to date.
///
/// # Errors
/// `Refused` when the schema is older than this program, or there is none.
pub(super) fn refuse_old(connection: &Connection) -> Result<()> {
    match read_version(connection)? {
        schema::NEWEST => Ok(()),
        0 => Err(Error::Refused("it is empty: no store was ever made in it".to_owned())),
        old => Err(Error::Refused(format!(
            "it has schema {old}, this program needs {}, and it cannot be written here: let this user write the file and its folder, or copy \
             it to a folder that can be written",
            schema::NEWEST
        ))),
    }
}

/// The log beside the file, if there is anything in it that may be missing from the file.
pub(super) fn find_log(file: &Path) -> Option<PathBuf> {
    let log = beside(file, "-wal");
    log.metadata().is_ok_and(|found| found.len() > 0).then_some(log)
}

/// For reading a file that nobody changes meanwhile.
pub(super) fn open_immutable(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let path = std::path::absolute(file).map_err(|error| unusable(file, &error))?;
    let connection = Connection::open_with_flags(format!("file://{}?immutable=1", encode(&path)), flags)?;
    // The file may be anybody's.
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -16384;")?;
    Ok(connection)
}

/// A path in a URI.
fn encode(path: &Path) -> String {
    let mut encoded = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => encoded.push(char::from(*byte)),
            // Writing to a string cannot fail.
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}

/// Gives every name a number that it keeps for good, or only finds those that have one.
fn register<'a, Id: TryFrom<i64>>(
    connection: &Connection,
    table: &str,
    names: impl IntoIterator<Item = &'a String>,
    makes: bool,
) -> Result<HashMap<String, Id>> {
    let names: Vec<&String> = names.into_iter().collect();
    let mut numbers = numbers_of(connection, table, &names)?;
    let missing: Vec<&String> = names.into_iter().filter(|name| !numbers.contains_key(*name)).collect();
    if makes && !missing.is_empty() {
        // One commit for all of them. The writer has begun it already where it is the writer who asks.
        let own = connection.is_autocommit().then(|| Transaction::new_unchecked(connection, TransactionBehavior::Immediate)).transpose()?;
        let mut insert = connection.prepare(&format!("INSERT INTO {table} (name) VALUES (?1) ON CONFLICT DO NOTHING"))?;
        missing.iter().try_for_each(|name| insert.execute([name]).map(drop))?;
        own.map_or(Ok(()), Transaction::commit)?;
        numbers.extend(numbers_of(connection, table, &missing)?);
    }
    Ok(numbers)
}

fn numbers_of<Id: TryFrom<i64>>(connection: &Connection, table: &str, names: &[&String]) -> Result<HashMap<String, Id>> {
    let mut select = connection.prepare(&format!("SELECT id FROM {table} WHERE name = ?1"))?;
    let mut numbers = HashMap::new();
    for name in names {
        if let Some(id) = select.query_row([name], |row| row.get::<_, i64>(0)).optional()? {
            let id = Id::try_from(id).map_err(|_| Error::Refused(format!("too many names in the table {table}")))?;
            numbers.insert((*name).clone(), id);
        }
    }
    Ok(numbers)
}
