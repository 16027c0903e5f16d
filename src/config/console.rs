//! `[console]`: where it listens, and who may come.

use super::reader::Reader;
use super::sections::LITERAL;
use super::settings::{Console, Role, Server, User};
use super::tls;
use leadwire_connector::settings::Secret;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Shorter ones can be guessed over the network.
const SHORTEST_TOKEN: usize = 16;
/// A random text of that length has more different characters with all but certainty.
const FEWEST_CHARACTERS: usize = 6;
const MAKE_ONE: &str = "use the output of `openssl rand -hex 32`";
/// The holder of `[console] token`, and whoever is there without any token.
const TAKEN: [&str; 2] = ["operator", "local"];

pub(super) fn read(reader: &mut Reader<'_>, server: &Server) -> Console {
    let mut table = reader.section("console");
    let users = table.remove("users").unwrap_or_else(|| Value::Object(Map::new()));
    let console: Console = reader.read(&["console"], table);
    let users = read_users(reader, users);
    let console = Console { users, ..console };
    if collide(server.listen, console.listen) {
        let message = format!("the console listens on {}, where [server] already does", console.listen);
        reader.fault(&["console", "listen"], message, "give it a port of its own, such as \"127.0.0.1:8081\"");
    }
    tls::check_console(reader, server, &console);
    check_tokens(reader, &console);
    check_reach(reader, &console);
    console
}

/// Port 0 is any free port, so two of those never collide.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn read_users(reader: &mut Reader<'_>, users: Value) -> BTreeMap<String, User> {
    let mut read = BTreeMap::new();
    for (name, table) in reader.named_at(&["console", "users"], users) {
        let path = ["console", "users", &name];
        let user: User = reader.read(&path, table);
        if TAKEN.contains(&name.as_str()) {
            reader.fault(&path, format!("the name `{name}` stands for somebody else in the records of the console"), "choose another name");
        } else if user.token.is_none() && !reader.is_faulty(&path) {
            reader.fault(&path, format!("`{name}` has no token to log in with"), "set `token = { env = \"NAME\" }`");
        }
        read.insert(name, user);
    }
    read
}

/// All tokens, each with its place.
fn tokens(console: &Console) -> Vec<(Vec<&str>, &Secret)> {
    let own = console.token.iter().map(|token| (vec!["console", "token"], token));
    let of_users = console.users.iter().filter_map(|(name, user)| Some((vec!["console", "users", name, "token"], user.token.as_ref()?)));
    own.chain(of_users).collect()
}

fn check_tokens(reader: &mut Reader<'_>, console: &Console) {
    let mut seen = BTreeSet::new();
    for (path, token) in tokens(console) {
        check_token(reader, &path, token);
        if !seen.insert(token.expose()) {
            reader.fault(&path, "somebody else has the same token, so nobody could tell who acted", MAKE_ONE);
        }
    }
}

fn check_token(reader: &mut Reader<'_>, path: &[&str], token: &Secret) {
    let text = token.expose();
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        reader.fault(
            path,
            "no HTTP header can carry this token",
            "use letters, digits and signs without spaces, such as the output of `openssl rand -hex 32`",
        );
    } else if text.len() < SHORTEST_TOKEN {
        reader.warn(path, "this token is short enough to be guessed", MAKE_ONE);
    } else if text.bytes().collect::<BTreeSet<u8>>().len() < FEWEST_CHARACTERS {
        reader.warn(path, "this token repeats a few characters and can be guessed", MAKE_ONE);
    }
    if token.is_literal() && reader.layers.is_from_file(path) {
        reader.warn(path, "this secret stands in the file itself", LITERAL);
    }
}

fn check_reach(reader: &mut Reader<'_>, console: &Console) {
    if !tokens(console).is_empty() {
        check_roles(reader, console);
    } else if reader.is_faulty(&["console", "token"]) || reader.is_faulty(&["console", "users"]) {
        // What is wrong there has been said.
    } else if console.listen.ip().is_loopback() {
        reader.warn(&["console"], "the console has no token: everyone on this machine can read the leads", "set `token` in [console]");
    } else {
        let message = format!("without a token the console listens on this machine only, not on {}", console.listen);
        let help = "set `token = { env = \"LEADWIRE_CONSOLE_TOKEN\" }` in [console], or listen on 127.0.0.1";
        reader.fault(&["console", "listen"], message, help);
    }
}

fn check_roles(reader: &mut Reader<'_>, console: &Console) {
    let may_operate = console.token.is_some() || console.users.values().any(|user| user.role == Role::Operate);
    if !may_operate {
        let message = "everyone on the console may look, and nobody may act";
        reader.warn(&["console", "users"], message, "give somebody `role = \"operate\"`, or set `token` in [console]");
    }
    if console.mask_personal_data && console.users.values().all(|user| user.role == Role::Operate) {
        let message = "`mask_personal_data` does nothing without a user with `role = \"read\"`";
        reader.warn(&["console", "mask_personal_data"], message, "add such a user, or remove it");
    }
}
