//! A real PostgreSQL for tests: one server for each test process, a fresh database for each test.
//!
//! ```ignore
//! #[path = "../support/postgres.rs"]
//! mod postgres;
//!
//! let url = postgres::database(); // postgres://leadwire:…@127.0.0.1:PORT/test_1, empty
//! postgres::execute(&url, "select 1");
//!
//! let server = postgres::Server::private(Options { fsync: true, tls: true });
//! let url = server.database();
//! server.stop_immediate();
//! server.start();
//!
//! let standby = server.standby(); // at another port; every commit waits for it
//! server.stop_immediate();
//! standby.promote();
//! ```
//!
//! The server's zone is an odd one and its locale folds the case of all letters, so that a query that leans on either fails here.

#![allow(clippy::allow_attributes, clippy::unwrap_used, dead_code, reason = "no test program uses all of it")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

const USER: &str = "leadwire";
/// With letters that a URL must escape.
const PASSWORD: &str = "p/ss:w@rd";
const PASSWORD_IN_URL: &str = "p%2Fss%3Aw%40rd";

/// Waits on the server until its standby follows, for 30 s at most.
const UNTIL_IT_FOLLOWS: &str = "do $$ begin
    for n in 1..600 loop
        exit when exists (select from pg_stat_replication where sync_state = 'sync');
        perform pg_sleep(0.05);
    end loop;
end $$";

/// Starts the server at each line it reads and says whether it is ready. At the end of its input, which comes however the test
/// process ends, it stops the server, a paused one too, and removes the folder.
const SUPERVISOR: &str = r#"
trap '' INT TERM HUP
folder=$1 programs=$2 port=$3
shift 3
while read -r _; do
    wait
    rm -f "$folder/ended"
    ("$@" "$programs/postgres" -D "$folder/data" >>"$folder/log" 2>&1 </dev/null; : >"$folder/ended") &
    until [ -e "$folder/ended" ] || "$programs/pg_isready" -q -h "$folder" -p "$port"; do sleep 0.05; done
    if [ -e "$folder/ended" ]; then echo failed; else echo ready; fi
done
if postmaster=$(head -n 1 "$folder/data/postmaster.pid"); then
    kill -QUIT "$postmaster"
    for stat in /proc/[0-9]*/stat; do
        read -r pid _ _ parent _ <"$stat" && [ "$parent" = "$postmaster" ] && kill -CONT "$pid"
    done
    kill -CONT "$postmaster"
fi 2>/dev/null
wait
rm -rf "$folder"
"#;

/// The URL of a fresh, empty database on the server that all tests of this process share. It does not fsync.
pub(crate) fn database() -> String {
    shared().database()
}

/// The server that all tests of this process share. Not to be stopped or paused.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::private(Options::default()))
}

/// Runs SQL on a database and returns what it answers: a line for each row, `|` between columns.
pub(crate) fn execute(url: &str, sql: &str) -> String {
    let mut psql = Command::new(programs().join("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", sql, url]);
    run(&mut psql)
}

/// Removes a database that [`database`] or [`Server::database`] made, and whoever is connected to it.
pub(crate) fn drop_database(url: &str) {
    let (server, name) = url.rsplit_once('/').unwrap();
    execute(&format!("{server}/postgres"), &format!("drop database {name} with (force)"));
}

/// How a private server differs from the shared one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Commits survive a crash of the machine; slower.
    pub(crate) fsync: bool,
    /// Takes connections by TCP with TLS only, with a certificate for 127.0.0.1 and localhost that [`Server::ca_file`] vouches for.
    pub(crate) tls: bool,
}

/// A running server. Stopped, and its folder removed, when it is dropped or the test process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    databases: AtomicU32,
    supervisor: Mutex<Supervisor>,
}

#[derive(Debug)]
struct Supervisor {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// A server of one test's own.
    pub(crate) fn private(options: Options) -> Self {
        let server = Self::prepare();
        server.initialize(options);
        server.start();
        server
    }

    /// A folder and a port, with no server in it yet.
    fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("leadwire-postgres-").tempdir().unwrap().keep();
        let port = free_port();
        own(&folder);
        Self { supervisor: Mutex::new(supervise(&folder, port)), folder, port, databases: AtomicU32::new(0) }
    }

    /// A server at another port that follows this one. From now on no commit is answered before it is on the disks of both.
    pub(crate) fn standby(&self) -> Self {
        let standby = Self::prepare();
        let mut backup = standby.command("pg_basebackup");
        backup.args(["--write-recovery-conf", "--checkpoint", "fast", "--no-sync", "--dbname", &self.url("postgres"), "--pgdata"]);
        run(backup.arg(standby.data()));
        // The last word counts.
        standby.append("postgresql.conf", &standby.place());
        standby.start();
        let url = self.url("postgres");
        execute(&url, "alter system set synchronous_standby_names = '*'");
        execute(&url, "select pg_reload_conf()");
        execute(&url, UNTIL_IT_FOLLOWS);
        assert_eq!(execute(&url, "select sync_state from pg_stat_replication"), "sync\n", "the standby does not follow");
        standby
    }

    /// Makes a standby the server to write to. The one it followed must be gone.
    pub(crate) fn promote(&self) {
        run(self.command("pg_ctl").args(["promote", "--wait", "--pgdata"]).arg(self.data()));
    }

    fn place(&self) -> String {
        format!("port = {}\nunix_socket_directories = '{}'\n", self.port, self.folder.display())
    }

    fn initialize(&self, options: Options) {
        let password_file = self.folder.join("password");
        std::fs::write(&password_file, PASSWORD).unwrap();
        own(&password_file);
        let mut initdb = self.command("initdb");
        initdb.arg("--pgdata").arg(self.data()).arg("--pwfile").arg(&password_file);
        run(initdb.args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]));
        let fsync = if options.fsync { "on" } else { "off" };
        self.append(
            "postgresql.conf",
            &format!(
                "listen_addresses = '127.0.0.1'\n{}max_connections = 200\nshared_buffers = 64MB\n\
                 fsync = {fsync}\ntimezone = '<+0545>-5:45'\nlog_timezone = 'UTC'\n",
                self.place()
            ),
        );
        if options.tls {
            self.set_up_tls();
        }
    }

    /// Puts what is appended to a file of the server's before its start.
    fn append(&self, file: &str, text: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.data().join(file)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn set_up_tls(&self) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than the server's, which otherwise seems to have signed itself.
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        std::fs::write(self.ca_file(), authority.pem()).unwrap();
        self.add_file("server.crt", &names.signed_by(&key, &authority).unwrap().pem());
        self.add_file("server.key", &key.serialize_pem());
        self.append("postgresql.conf", "ssl = on\n");
        let rules = self.data().join("pg_hba.conf");
        let without_plain = std::fs::read_to_string(&rules).unwrap().replace("\nhost ", "\nhostssl ");
        std::fs::write(&rules, without_plain).unwrap();
    }

    /// Adds a file to the server's folder that only the server may read.
    fn add_file(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        own(&path);
    }

    /// The URL of a fresh, empty database.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        execute(&self.url("postgres"), &format!("create database {name}"));
        self.url(&name)
    }

    /// The URL of a database, by TCP and without parameters.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1. It stays the same over stops and starts.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the server's unix socket.
    pub(crate) fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate of the authority that signed the server's, as PEM; made when [`Options::tls`] is set.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Everything the server has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// Starts it again after a stop, with what was committed; returns when it takes connections.
    pub(crate) fn start(&self) {
        let mut supervisor = self.supervisor.lock().unwrap();
        supervisor.process.stdin.as_ref().unwrap().write_all(b"start\n").unwrap();
        let mut answer = String::new();
        supervisor.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "ready\n", "PostgreSQL did not start; it said:\n{}", self.log());
    }

    /// Stops it as a crash does: nothing is written any more, and the next start recovers.
    pub(crate) fn stop_immediate(&self) {
        self.stop("immediate");
    }

    /// Stops it in order; connections are cut.
    pub(crate) fn stop_fast(&self) {
        self.stop("fast");
    }

    fn stop(&self, mode: &str) {
        run(self.command("pg_ctl").args(["stop", "--wait", "--mode", mode, "--pgdata"]).arg(self.data()));
    }

    /// Freezes it: connections stay open, and nothing answers.
    pub(crate) fn pause(&self) {
        let postmaster = self.postmaster();
        // It first, so that it starts no others behind our back.
        signal("STOP", &[postmaster]);
        signal("STOP", &children_of(postmaster));
    }

    /// Freezes those of its processes that write by themselves, until the next start: only sessions bring anything to the disk.
    pub(crate) fn pause_writers(&self) {
        let title = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let writes =
            |pid: &u32| ["walwriter", "background writer", "checkpointer", "autovacuum"].iter().any(|name| title(pid).contains(name));
        let writers: Vec<u32> = children_of(self.postmaster()).into_iter().filter(writes).collect();
        assert!(writers.len() >= 3, "the processes of PostgreSQL that write were not found");
        signal("STOP", &writers);
    }

    /// Ends a pause.
    pub(crate) fn resume(&self) {
        let postmaster = self.postmaster();
        signal("CONT", &children_of(postmaster));
        signal("CONT", &[postmaster]);
    }

    fn postmaster(&self) -> u32 {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of PostgreSQL's programs that refuse to run as root.
    fn command(&self, program: &str) -> Command {
        let words: Vec<String> = prefix().into_iter().chain([programs().join(program).display().to_string()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap();
        drop(supervisor.process.stdin.take());
        supervisor.process.wait().unwrap();
    }
}

fn supervise(folder: &Path, port: u16) -> Supervisor {
    let mut command = Command::new("sh");
    command.args(["-c", SUPERVISOR, "sh"]).arg(folder).arg(programs()).arg(port.to_string()).args(prefix());
    // Interrupting the tests must not interrupt it, and it must keep no output of theirs open.
    command.process_group(0).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    let answers = BufReader::new(process.stdout.take().unwrap());
    Supervisor { process, answers }
}

/// The folder of PostgreSQL's programs, which are installed when missing. Tests that need them fail without; none is skipped.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres.sh");
        PathBuf::from(run(&mut Command::new(script)).trim_end())
    })
}

/// The system's user that the server runs as when this is root, whom it refuses.
fn server_user() -> Option<&'static str> {
    static USER: OnceLock<Option<&str>> = OnceLock::new();
    *USER.get_or_init(|| {
        if run(Command::new("id").arg("-u")) != "0\n" {
            return None;
        }
        let exists = |user: &&str| Command::new("id").arg("-u").arg(user).output().unwrap().status.success();
        Some(["postgres", "nobody"].into_iter().find(exists).expect("a user other than root: `postgres` or `nobody`"))
    })
}

/// What to put before a program so that it runs as [`server_user`].
fn prefix() -> Vec<String> {
    let words = |user| {
        let group = run(Command::new("id").args(["-g", user]));
        ["setpriv", "--reuid", user, "--regid", group.trim_end(), "--clear-groups"].map(str::to_owned).to_vec()
    };
    server_user().map_or_else(|| vec!["env".to_owned()], words)
}

/// Gives a file or folder to [`server_user`].
fn own(path: &Path) {
    if let Some(user) = server_user() {
        run(Command::new("chown").arg(user).arg(path));
    }
}

/// Below the ports that systems give to clients: while the server is stopped, a client's own port must not become the one it asks.
fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(15_000..32_000)).take(1_000).find(free).expect("a free port on 127.0.0.1")
}

fn children_of(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let is_child = |pid: &u32| stat(*pid).is_some_and(|line| line.split(' ').nth(3) == Some(parent.to_string().as_str()));
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(is_child).collect()
}

/// A process may have ended since it was listed.
fn signal(name: &str, pids: &[u32]) {
    Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).output().unwrap();
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
