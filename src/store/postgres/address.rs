//! Reading the URL of a database. It may hold a password, so no part of it but the names of its parameters is ever repeated.

use super::tls::{Identity, Trust, Wish};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use url::form_urlencoded;

/// How long one host may take to answer, unless the URL says otherwise: with several hosts, the next one is to be tried soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The parameters that are read here: the driver does not know them, or not all of their values.
const OURS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

const FORM: &str = "write \"postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full\"";

/// Where a database is and how to reach it.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) wish: Wish,
}

impl Address {
    /// Reads a URL, with the parameters and their meanings of libpq.
    ///
    /// # Errors
    /// What is wrong; what would be right.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let plain = keep_plain(url)?;
        let (place, query) = plain.split_once('?').unwrap_or((plain, ""));
        let (ours, theirs): (Vec<&str>, Vec<&str>) = query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| is_ours(pair));
        let mut config: Config = format!("{place}?{}", theirs.join("&")).parse().map_err(|error| explain(&error))?;
        let wish = read_wish(&ours)?;
        config.ssl_mode(wish.mode);
        check_place(&config)?;
        set_defaults(&mut config);
        Ok(Self { config, wish })
    }

    /// Where it is, for people: hosts and database, nothing else.
    pub(super) fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        format!("PostgreSQL at {}, database {}", hosts.collect::<Vec<_>>().join(", "), self.config.get_dbname().unwrap_or_default())
    }
}

/// Whether this is a URL that a store can be opened by, as far as that can be said without the network and the files it names.
///
/// # Errors
/// What is wrong; what would be right. Never a part of the URL that could be secret.
pub fn check_url(url: &str) -> Result<(), String> {
    Address::parse(url).map(drop)
}

/// Whether the URL holds a password.
#[must_use]
pub fn has_password(url: &str) -> bool {
    Address::parse(url).is_ok_and(|address| address.config.get_password().is_some())
}

/// Refuses what would be cut at the wrong place, so that a part of a password would be taken for a host and shown.
fn keep_plain(url: &str) -> Result<&str, String> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or_else(|| format!("expected a URL of PostgreSQL; {FORM}"))?;
    let is_cut = match rest.split_once('@') {
        Some((credentials, rest)) => credentials.contains(['/', '?', '#']) || rest.contains('@'),
        None => false,
    };
    if is_cut || rest.contains('#') || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a user or password holds a sign that has a meaning in URLs; write `@` as %40, `/` as %2F, `?` as %3F, `#` as %23, `:` as %3A, `%` as %25 and a space as %20".to_owned());
    }
    Ok(url)
}

fn is_ours(pair: &str) -> bool {
    OURS.contains(&pair.split('=').next().unwrap_or_default())
}

/// The driver's words, unless they could hold more than the name of a parameter.
fn explain(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let is_short =
        cause.starts_with("unknown option") || cause.starts_with("invalid value for option") || cause.starts_with("unterminated");
    let cause = if is_short { format!(": {cause}") } else { String::new() };
    format!("this is no URL of PostgreSQL{cause}; {FORM}")
}

fn check_place(config: &Config) -> Result<(), String> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(format!("the host is missing; {FORM}"));
    }
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
    if config.get_ports().len() > 1 && config.get_ports().len() != hosts {
        return Err("there are not as many ports as hosts; give each host its own, as in `one:5432,other:5432`".to_owned());
    }
    if config.get_dbname().is_none_or(str::is_empty) {
        return Err(format!("the database is missing; {FORM}"));
    }
    Ok(())
}

fn set_defaults(config: &mut Config) {
    if config.get_application_name().is_none() {
        config.application_name("leadwire");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    config.keepalives_idle(Duration::from_secs(10));
    // After a failover the new primary is looked for, be it another host of the list or another machine behind the same name.
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

/// What the parameters say of TLS, with the meanings they have in libpq.
fn read_wish(pairs: &[&str]) -> Result<Wish, String> {
    // In a query string `+` is a space; in libpq's URLs it is itself.
    let query = pairs.join("&").replace('+', "%2B");
    let values: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().filter(|(_, value)| !value.is_empty()).collect();
    let find = |name: &str| values.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (mode, trust) = read_mode(find("sslmode"), find("sslrootcert"))?;
    let identity = match (find("sslcert"), find("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(Identity { certificate: certificate.into(), key: key.into() }),
        _ => return Err("`sslcert` and `sslkey` belong together: the client's certificate and its key".to_owned()),
    };
    Ok(Wish { mode, trust, identity })
}

fn read_mode(mode: Option<&str>, root: Option<&str>) -> Result<(SslMode, Trust), String> {
    let file = || root.map_or(Trust::Anyone, |path| Trust::Chain(path.into()));
    match (mode, root) {
        (Some("disable"), _) => Ok((SslMode::Disable, Trust::Anyone)),
        (None | Some("verify-full"), Some("system")) | (Some("verify-full"), None) => Ok((SslMode::Require, Trust::Machine)),
        (Some("prefer" | "require" | "verify-ca"), Some("system")) => {
            Err("everybody can get a certificate of a public authority, so `sslrootcert=system` needs `sslmode=verify-full`".to_owned())
        }
        (None | Some("prefer"), _) => Ok((SslMode::Prefer, file())),
        (Some("require"), _) => Ok((SslMode::Require, file())),
        (Some("verify-ca"), None) => {
            Err("`sslmode=verify-ca` needs `sslrootcert=FILE`, the certificate of the authority; or use `sslmode=verify-full`".to_owned())
        }
        (Some("verify-ca"), Some(_)) => Ok((SslMode::Require, file())),
        (Some("verify-full"), Some(path)) => Ok((SslMode::Require, Trust::Name(path.into()))),
        (Some(_), _) => Err("unknown `sslmode`; known are `disable`, `prefer`, `require`, `verify-ca`, `verify-full`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn wish(query: &str) -> Result<(SslMode, Trust), String> {
        Address::parse(&format!("postgres://u@h/d?{query}")).map(|address| (address.wish.mode, address.wish.trust))
    }

    #[test]
    fn the_modes_mean_what_they_mean_in_libpq() {
        let ca = || "/etc/ca.pem".into();
        for (query, expected) in [
            ("", (SslMode::Prefer, Trust::Anyone)),
            ("sslmode=disable&sslrootcert=/etc/ca.pem", (SslMode::Disable, Trust::Anyone)),
            ("sslmode=prefer", (SslMode::Prefer, Trust::Anyone)),
            ("sslmode=require", (SslMode::Require, Trust::Anyone)),
            ("sslmode=require&sslrootcert=/etc/ca.pem", (SslMode::Require, Trust::Chain(ca()))),
            ("sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem", (SslMode::Require, Trust::Chain(ca()))),
            ("sslrootcert=/etc/ca.pem&sslmode=verify-full", (SslMode::Require, Trust::Name(ca()))),
            ("sslmode=verify-full", (SslMode::Require, Trust::Machine)),
            ("sslmode=verify-full&sslrootcert=system", (SslMode::Require, Trust::Machine)),
            ("sslrootcert=system", (SslMode::Require, Trust::Machine)),
        ] {
            assert_eq!(wish(query).unwrap(), expected, "{query}");
        }
        for query in ["sslmode=verify", "sslmode=verify-ca", "sslmode=require&sslrootcert=system", "sslcert=/a", "sslkey=/a"] {
            assert!(wish(query).is_err(), "{query}");
        }
    }

    #[test]
    fn other_parameters_and_several_hosts_are_kept() {
        let url = "postgresql://us%40er:p%2Fw@one:5433,[::1]:5434/leads%20db?connect_timeout=7&sslmode=require&application_name=x";
        let address = Address::parse(url).unwrap();
        let config = &address.config;
        assert_eq!((config.get_user(), config.get_password()), (Some("us@er"), Some(&b"p/w"[..])));
        assert_eq!((config.get_dbname(), config.get_ports()), (Some("leads db"), &[5433, 5434][..]));
        assert_eq!((config.get_connect_timeout(), config.get_application_name()), (Some(&Duration::from_secs(7)), Some("x")));
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(address.place(), "PostgreSQL at one, ::1, database leads db");
        assert!(has_password(url) && !has_password("postgres://u@h/d"));
    }

    #[test]
    fn a_session_that_may_only_read_is_left_alone_when_asked_for() {
        let address = Address::parse("postgres://u@h/d?target_session_attrs=read-only").unwrap();
        assert_eq!(address.config.get_target_session_attrs(), TargetSessionAttrs::ReadOnly);
    }

    #[test]
    fn a_socket_in_a_folder_is_a_host() {
        let address = Address::parse("postgres://u@/d?host=/run/postgresql").unwrap();
        assert_eq!(address.place(), "PostgreSQL at /run/postgresql, database d");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (url, expected) in [
            ("mysql://u@h/d", "expected a URL of PostgreSQL"),
            ("postgres://u@/d", "the host is missing"),
            ("postgres://u@h", "the database is missing"),
            ("postgres://u@h:1/d?port=2", "not as many ports"),
            ("postgres://u@h/d?sslmod=require", "unknown option `sslmod`"),
            ("postgres://u@h:port/d", "invalid value for option `port`"),
        ] {
            let told = Address::parse(url).err().unwrap();
            assert!(told.contains(expected), "{url}: {told}");
        }
    }

    #[test]
    fn a_password_with_signs_of_a_url_is_refused_instead_of_being_shown_as_a_host() {
        for url in
            ["postgres://u:hun@ter2@h/d", "postgres://u:hun/ter2@h/d", "postgres://u:hun?ter2=1@h/d", "postgres:///d?password=hun@ter2"]
        {
            let told = Address::parse(url).err().unwrap();
            assert!(told.contains("%40") && !told.contains("ter2"), "{told}");
        }
    }

    proptest! {
        #[test]
        fn no_url_makes_it_panic_or_show_the_password(noise in "[a-z@:/?&=%#.0-9-]{0,40}") {
            let url = format!("postgres://user:hunter2{noise}");
            match Address::parse(&url) {
                Ok(address) => prop_assert!(!address.place().contains("hunter2")),
                Err(told) => prop_assert!(!told.contains("hunter2"), "{}", told),
            }
        }
    }
}
