//! Stories about the PostgreSQL that the other tests lean on.

use crate::postgres::{Options, Server, database, drop_database, execute, shared};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The first message of a client that wants TLS; the server answers with one letter.
const ASKS_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];

#[test]
fn every_test_gets_an_empty_database_in_an_odd_zone_that_folds_letters() {
    let (one, other) = (database(), database());
    execute(&one, "create table t (x int); insert into t values (1), (2)");
    assert_eq!(execute(&one, "select count(*) from t"), "2\n");
    assert_eq!(
        execute(&other, "select to_regclass('t') is null, lower('Ä'), timestamptz '2026-01-01 00:00Z'::text"),
        "t|ä|2026-01-01 05:45:00+05:45\n"
    );
    drop_database(&one);
    let (_, name) = one.rsplit_once('/').unwrap();
    assert_eq!(execute(&other, &format!("select count(*) from pg_database where datname = '{name}'")), "0\n");
    assert!(shared().log().contains("ready to accept connections"));
}

#[test]
fn a_private_server_stops_starts_and_pauses() {
    let server = Server::private(Options { fsync: true, tls: true });
    let url = server.database();
    execute(&url, "create table t (x int)");
    assert_eq!(execute(&url, "select ssl from pg_stat_ssl where pid = pg_backend_pid()"), "t\n");
    assert_eq!(execute(&format!("{url}?sslmode=verify-full&sslrootcert={}", server.ca_file().display()), "show fsync"), "on\n");
    server.stop_immediate();
    server.start();
    execute(&url, "insert into t values (1)");
    server.stop_fast();
    server.start();
    server.pause();
    let mut client = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    client.write_all(&ASKS_FOR_TLS).unwrap();
    assert!(client.read_exact(&mut [0]).is_err(), "nothing answers during a pause");
    server.resume();
    assert_eq!(execute(&url, "select count(*) from t"), "1\n");
    server.pause();
    let folder = server.socket_folder().to_owned();
    let started_at = Instant::now();
    drop(server);
    assert!(!folder.exists() && started_at.elapsed() < Duration::from_secs(30), "a paused server is stopped too");
}

#[test]
fn a_standby_has_every_commit_and_takes_over() {
    let server = Server::private(Options { fsync: true, tls: false });
    let url = server.database();
    let standby = server.standby();
    execute(&url, "create table t (x int); insert into t values (1)");
    server.stop_immediate();
    let url = standby.url(url.rsplit_once('/').unwrap().1);
    assert_eq!(execute(&url, "select pg_is_in_recovery()"), "t\n");
    standby.promote();
    execute(&url, "insert into t values (2)");
    assert_eq!(execute(&url, "select count(*) from t"), "2\n");
}
