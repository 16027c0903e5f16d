//! The loader from outside: a text and an environment go in, settings or the text that a person reads come out.
#![allow(clippy::unwrap_used, clippy::allow_attributes)]

use super::*;
use async_trait::async_trait;
use leadwire_connector::settings::{self, Origin, Secret};
use leadwire_connector::{Build, BuildContext, Claim, Connector, ConnectorKind, Limits};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A connector's settings, with a secret, a number and templates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by `Debug` alone")]
struct Fake {
    token: Option<Secret>,
    url: Option<String>,
    #[serde(default)]
    size: u32,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

#[async_trait]
impl Build for Fake {
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Connector>, String> {
        Err("this one only reads its settings".into())
    }

    fn limits(&self) -> Limits {
        Limits { concurrency: 3, per_second: Some(10.0), burst: 50 }
    }

    fn warnings(&self) -> Vec<String> {
        self.url.iter().filter(|url| url.starts_with("http:")).map(|_| "events travel unencrypted".to_owned()).collect()
    }

    fn claims(&self, base_directory: &Path) -> Vec<Claim> {
        let claim = |url: &String| Claim {
            path: vec!["url".to_owned()],
            what: "address",
            id: format!("{}{url}", base_directory.display()),
            help: "name another",
        };
        self.url.iter().filter(|url| url.starts_with("https://alone.")).map(claim).collect()
    }
}

fn parse_fake(table: Map<String, Value>, origin: &dyn Origin) -> Result<Box<dyn Build>, Vec<Fault>> {
    let fake: Fake = settings::parse(table, origin)?;
    leadwire_connector::mapping::FieldMap::compile(&fake.fields)?;
    Ok(Box::new(fake))
}

fn connectors() -> Connectors {
    let kind = |name| ConnectorKind { name, about: "", reference: "", parse: parse_fake, schema: None, simulator: None };
    Connectors::default().with(kind("fake")).with(kind("other"))
}

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Diagnostics> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(Path::new("leadwire.toml"), text, &connectors(), environment)
}

fn told(text: &str, environment: &[(&str, &str)]) -> String {
    parse_with(text, environment).unwrap_err().to_string()
}

/// The messages alone, each with its place.
fn short(text: &str) -> Vec<String> {
    let faults = parse_with(text, &[]).unwrap_err();
    faults.faults().iter().map(|fault| fault.to_string().lines().next().unwrap().to_owned()).collect()
}

fn warnings(text: &str) -> Vec<String> {
    parse_with(text, &[]).unwrap().warnings.iter().map(|warning| warning.to_string().lines().next().unwrap().to_owned()).collect()
}

const GOOD: &str = r#"
[sources.acme]
signing_keys = ["k1"]
[destinations.crm]
type = "fake"
[[routes]]
to = ["crm"]
"#;

#[test]
fn what_is_not_given_has_its_default() {
    let settings = parse_with(GOOD, &[]).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.console.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(settings.store.url, StoreUrl::Sqlite("data/leadwire.db".into()));
    let source = &settings.sources["acme"];
    assert_eq!((source.max_body_bytes, source.test_reply, source.tolerance_past.as_secs()), (32 << 20, true, 600));
    let crm = &settings.destinations["crm"];
    assert_eq!((crm.concurrency, crm.per_second, crm.burst), (3, Some(10.0), 50));
    assert_eq!(crm.give_up_after, Duration::from_hours(72));
}

#[test]
fn bounds_of_the_store_that_make_no_sense_are_warned_of() {
    let with = |line: &str| format!("[store]\n{line}\n{GOOD}");
    for (line, warning) in [("retention = \"1h\"", "`retention` is shorter"), ("max_bytes = \"10MiB\"", "`max_bytes` is so small")] {
        assert!(warnings(&with(line)).iter().any(|told| told.contains(warning)), "{line}");
    }
    assert!(warnings(&with("retention = \"90d\"\nmax_bytes = \"10 GiB\"")).iter().all(|told| !told.contains("store")));
    let settings = parse_with(&with("max_bytes = \"10 GiB\""), &[]).unwrap();
    assert_eq!((settings.store.max_bytes, settings.store.retention), (Some(10 << 30), None));
    assert!(told(&with("max_bytes = 0"), &[]).contains("expected a size above 0"));
}

#[test]
fn a_store_is_named_on_the_command_line_as_in_the_file() {
    assert_eq!("sqlite:a/b.db".parse(), Ok(StoreUrl::Sqlite("a/b.db".into())));
    assert!("mysql:x".parse::<StoreUrl>().unwrap_err().contains("unknown kind of store"));
    assert!("sqlite:".parse::<StoreUrl>().unwrap_err().contains("path of a file"));
}

#[test]
fn a_destination_overrides_what_its_connector_and_the_delivery_section_say() {
    let text = GOOD.replace("type = \"fake\"", "type = \"fake\"\nrate_per_second = 2\nconcurrency = 1\ngive_up_after = \"1h\"");
    let crm = &parse_with(&text, &[]).unwrap().destinations["crm"];
    assert_eq!((crm.concurrency, crm.per_second, crm.burst, crm.give_up_after), (1, Some(2.0), 2, Duration::from_hours(1)));
}

#[test]
fn the_environment_wins_over_the_file_and_its_text_becomes_numbers_and_lists_where_they_are_expected() {
    let settings = parse_with(
        GOOD,
        &[
            ("LEADWIRE__SERVER__WORKERS", " 3 "),
            ("LEADWIRE__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.1"),
            ("LEADWIRE__SOURCES__ACME__SIGNING_KEYS", r#"["12345", "k3"]"#),
            ("LEADWIRE__SOURCES__ACME__TEST_REPLY", "false"),
            ("LEADWIRE__SOURCES__ACME__MAX_BODY_BYTES", "1048576"),
            ("LEADWIRE__DESTINATIONS__CRM__SIZE", "7"),
            ("LEADWIRE__DESTINATIONS__CRM__TOKEN", "000123"),
            ("LEADWIRE__DESTINATIONS__CRM__RATE_PER_SECOND", "0.5"),
            ("LEADWIRE__SERVER__LISTEN", ""),
            ("LEADWIRE_CONSOLE_TOKEN", "not ours"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.workers, 3);
    assert_eq!(settings.server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "192.168.0.1/32"]);
    let source = &settings.sources["acme"];
    assert_eq!(source.signing_keys.iter().map(Secret::expose).collect::<Vec<_>>(), ["12345", "k3"]);
    assert_eq!((source.test_reply, source.max_body_bytes), (false, 1_048_576));
    assert_eq!(settings.destinations["crm"].per_second, Some(0.5));
    assert!(format!("{:?}", settings.destinations["crm"].settings).contains("size: 7"));
}

#[test]
fn a_source_a_destination_and_the_routes_can_come_from_the_environment_alone() {
    let settings = parse_with(
        "",
        &[
            ("LEADWIRE__SOURCES__ACME__SIGNING_KEYS", "k1,with,commas"),
            ("LEADWIRE__DESTINATIONS__CRM__TYPE", "fake"),
            ("LEADWIRE__ROUTES", r#"[{"to": ["crm"], "kinds": ["lead"]}]"#),
        ],
    )
    .unwrap();
    assert_eq!(settings.sources["acme"].signing_keys[0].expose(), "k1,with,commas");
    assert_eq!(settings.routes.iter().next().unwrap().to, ["crm"]);
    assert!(settings.warnings.iter().all(|warning| !warning.message.contains("stands in the file")));
}

#[test]
fn a_variable_finds_names_with_hyphens_and_upper_case_keys() {
    let text = "[sources.my-shop]\nsigning_keys = [\"k\"]\n[destinations.crm]\ntype = \"fake\"\n[destinations.crm.fields]\nCompany = \"x\"";
    let environment = [("LEADWIRE__SOURCES__MY_SHOP__REPORT_ONLY", "true"), ("LEADWIRE__DESTINATIONS__CRM__FIELDS__COMPANY", "y")];
    let settings = parse_with(text, &environment).unwrap();
    assert!(settings.sources["my-shop"].report_only);
    assert!(format!("{:?}", settings.destinations["crm"].settings).contains(r#"{"Company": "y"}"#));
}

#[test]
fn a_wrong_variable_is_told_by_its_name_and_without_its_value() {
    let text = told(
        GOOD,
        &[
            ("LEADWIRE__SERVER__LISTN", "hunter2"),
            ("LEADWIRE__SERVER__WORKERS", "hunter2"),
            ("LEADWIRE__SERVR__LISTEN", "hunter2"),
            ("LEADWIRE__CONSOLE", "hunter2"),
            ("LEADWIRE__DESTINATIONS__CRM__SIZE", "hunter2"),
            ("LEADWIRE__DESTINATIONS__NEW__TOKEN", "hunter2"),
            ("LEADWIRE__STORE__URL", "mysql://root:hunter2@db"),
            ("LEADWIRE__STORE____X", "hunter2"),
            ("LEADWIRE__LOG__LEVEL__X", "hunter2"),
            ("LEADWIRE__LOG__LEVEL", "warn"),
        ],
    );
    for line in [
        "environment variable LEADWIRE__SERVER__LISTN: unknown key `listn`\n  help: did you mean `listen`?",
        "environment variable LEADWIRE__SERVER__WORKERS: expected a whole number above 0, found text",
        "environment variable LEADWIRE__SERVR__LISTEN: unknown key `servr`\n  help: did you mean `server`?",
        "environment variable LEADWIRE__CONSOLE: expected a table",
        "environment variable LEADWIRE__DESTINATIONS__CRM__SIZE: expected a whole number, found text",
        "environment variable LEADWIRE__DESTINATIONS__NEW__TOKEN: `type` is missing\n  help: known are `fake`, `other`",
        "environment variable LEADWIRE__STORE__URL: unknown kind of store",
        "environment variable LEADWIRE__STORE____X: a part of the name is empty",
        "environment variable LEADWIRE__LOG__LEVEL__X: another variable sets",
        "9 faults; nothing was started",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn ten_and_more_mistakes_in_one_file_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[server]
listn = "127.0.0.1:8080"
workers = 0
trusted_proxies = ["10.0.0.0/8", "10.0.0", "::/200"]
[console]
listen = "0.0.0.0:8080" # secret-in-comment
[store]
url = "postgres://leadwire:hunter2@db"
retention = "90"
[sources.acme]
signing_keys = ["hunter2", "hunter2"]
default_country = "UK"
[sources.Beta]
signing_kyes = ["hunter2"]
[destinations.crm]
type = "fak"
[destinations.other]
type = "other"
concurency = 3
size = "big"
token = { env = "hunter2-pasted" }
fields = { stage = "{{ person. }}", api_key = "hunter2" }
[logs]
level = "info"
[[routes]]
to = ["crm", "othr"]
sources = ["acm"]
kinds = ["leads"]
when = "persn.email"
[[routes]]
kinds = []
"#;
    let expected = r#"leadwire.toml:3:1: unknown key `listn`
  3 | listn = "••••"
    | ^^^^^
  help: did you mean `listen`?

leadwire.toml:4:11: out of range: expected a whole number above 0
  4 | workers = 0
    |           ^

leadwire.toml:5:19: `10.0.0`, `::/200` are no addresses or networks
  5 | trusted_proxies = ["10.0.0.0/8", "10.0.0", "::/200"]
    |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: write "203.0.113.7" or "10.0.0.0/8"

leadwire.toml:7:10: the console listens on 0.0.0.0:8080, where [server] already does
  7 | listen = "0.0.0.0:8080"
    |          ^^^^^^^^^^^^^^
  help: give it a port of its own, such as "127.0.0.1:8081"

leadwire.toml:9:7: the database is missing
  9 | url = "••••"
    |       ^^^^^^
  help: write "postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full"

leadwire.toml:10:13: `90` is no duration
  10 | retention = "90"
     |             ^^^^
  help: write a number and a unit, such as "30s", "15m", "72h" or "90d"

leadwire.toml:12:28: signing key 2 of `acme` is the same as an earlier one
  12 | signing_keys = ["••••", "••••"]
     |                         ^^^^^^
  help: remove it; the old key and the new one belong here while rotating
"#;
    let told = told(text, &[]);
    println!("{told}");
    assert!(told.starts_with(expected), "{told}");
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("leadwire.toml:")).skip(7).collect();
    assert_eq!(
        lines,
        [
            "leadwire.toml:13:19: `UK` is no country code",
            "leadwire.toml:14:10: the name `Beta` has other characters than lower-case letters, digits, `_` and `-`, or is too long",
            "leadwire.toml:15:1: unknown key `signing_kyes`",
            "leadwire.toml:17:8: unknown type `fak`",
            "leadwire.toml:20:1: unknown key `concurency`",
            "leadwire.toml:21:8: expected a whole number, found text",
            "leadwire.toml:22:9: `env` holds no name of an environment variable (letters, digits and `_`)",
            "leadwire.toml:24:2: unknown key `logs`",
            "leadwire.toml:27:14: unknown destination `othr`",
            "leadwire.toml:28:12: unknown source `acm`",
            "leadwire.toml:29:10: unknown kind `leads`",
            "leadwire.toml:30:8: this condition is wrong: no event has a field `persn`",
            "leadwire.toml:31:1: this route leads nowhere",
            "leadwire.toml:32:9: an empty list lets nothing through",
        ]
    );
    assert!(told.ends_with("21 faults; nothing was started"));
    assert!(!told.contains("hunter2") && !told.contains("comment"), "{told}");
}

#[test]
fn a_template_that_is_wrong_is_shown_and_the_secrets_beside_it_are_not() {
    let text = GOOD
        .replace("type = \"fake\"", "type = \"fake\"\nfields = { stage = \"{{ person. }}\", api_key = \"hunter2\", other = \"hunter2\" }");
    let told = told(&text, &[]);
    assert!(told.contains("fields = { stage = \"{{ person. }}\", api_key = \"••••\", other = \"••••\" }"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn text_that_is_not_toml_is_told_line_by_line_and_shows_no_value_that_may_be_secret() {
    let text = "[server]\nlisten = 127.0.0.1:8080\n[console]\ntoken = hunter2-x\ntokn = \"hunter2\nkeys = [\n  \"hunter2\n]\n c2VjcmV0aHVudGVyMg==\n";
    let told = told(text, &[]);
    assert!(told.contains("leadwire.toml:2:"), "{told}");
    assert!(told.contains("  2 | listen = 127.0.0.1:8080\n") && told.contains("text stands in quotes"), "{told}");
    assert!(!told.contains("hunter2") && !told.contains("c2Vj"), "{told}");
}

#[test]
fn no_secret_is_shown_wherever_it_stands_and_whatever_is_wrong_around_it() {
    let places = [
        "[console]\ntoken = \"hunter2\"\nx = 1",
        "[console]\ntoken = 123456789\nx = 1",
        "[console]\ntoken = [\"hunter2\"]",
        "[console]\ntoken = { value = \"hunter2\" }",
        "[console]\ntoken = { env = \"HUNTER2\", x = 1 }",
        "console = \"hunter2\"",
        "console = { tokn = \"hunter2\", listn = 1 }",
        "[sources]\nacme = \"hunter2\"",
        "[sources.acme]\nsigning_keys = { evn = \"hunter2\" }",
        "[sources.acme]\nsigning_keys = [1, \"hunter2\"]",
        "[sources.acme]\nsigning_keys = [\n  \"hunter2\", 5,\n  \"\"]",
        "[sources.acme]\nsigning_keys = \"\"\"\nhunter2\n\"\"\"\nx = 1",
        "[destinations.crm]\ntype = \"fake\"\nurl = 5\ntoken = \"hunter2\"",
        "[destinations.crm]\ntype = \"fake\"\nsize = \"https://x/hunter2\"",
        "[destinations.crm]\ntype = \"fake\"\ntokne = \"hunter2\"",
        "destinations.crm = { type = \"fka\", token = \"hunter2\", pin = \"hunter2\" }",
        "hunter = \"hunter2\" # hunter2",
        "[store]\nurl = \"redis://:hunter2@x\"",
    ];
    for text in places {
        let faults = parse_with(text, &[]).unwrap_err();
        let shown = format!("{faults}{}{faults:?}", faults.to_json());
        assert!(!shown.contains("hunter2") && !shown.contains("123456789"), "{text}\n{shown}");
        assert!(faults.faults().iter().any(|fault| matches!(fault.place, Place::Line(_))), "{text}\n{shown}");
    }
    let settings =
        parse_with(&GOOD.replace("k1", "hunter2").replace("type = \"fake\"", "type = \"fake\"\ntoken = \"hunter2\""), &[]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(settings.warnings.iter().all(|warning| !warning.to_string().contains("hunter2")));
}

#[test]
fn a_console_that_others_can_reach_needs_a_token() {
    let open = format!("[console]\nlisten = \"0.0.0.0:9000\"\n{GOOD}");
    assert_eq!(short(&open), ["leadwire.toml:2:10: without a token the console listens on this machine only, not on 0.0.0.0:9000"]);
    let with_token = open.replace("[console]", "[console]\ntoken = { env = \"CARGO_MANIFEST_DIR\" }");
    parse_with(&with_token, &[]).unwrap();
    let unset = open.replace("[console]", "[console]\ntoken = { env = \"LEADWIRE_TEST_NOT_SET\" }");
    assert_eq!(short(&unset), ["leadwire.toml:2:9: the environment variable LEADWIRE_TEST_NOT_SET is not set"]);
}

#[test]
fn numbers_that_no_setting_can_have_are_told_once() {
    let text = format!("[server]\nworkers = 99999999999999999999\nmax_connections = -1\n{GOOD}\n")
        .replace("type = \"fake\"", "type = \"fake\"\nrate_per_second = nan");
    assert_eq!(
        short(&text),
        [
            "leadwire.toml:2:11: `99999999999999999999` is no number that a setting can have",
            "leadwire.toml:3:19: out of range: expected a whole number above 0",
            "leadwire.toml:9:19: `nan` is no number that a setting can have",
        ]
    );
}

#[test]
fn ranges_and_forms_are_checked() {
    for (section, line, wanted) in [
        ("server", "listen = \"localhost:8080\"", "no address with a port"),
        ("server", "public_url = \"leads.example.com\"", "expected a web address"),
        ("server", "request_timeout = \"0s\"", "out of range"),
        ("server", "shutdown_timeout = \"99999d\"", "out of range"),
        ("store", "url = \"sqlite::memory:\"", "the path of a file"),
        ("store", "url = \"mysql://u:p@h/d\"", "unknown kind of store"),
        ("store", "url = \"postgres://u:p@/d\"", "the host is missing"),
        ("store", "url = \"postgres://u:p@h/d?sslmode=verify\"", "unknown `sslmode`"),
        ("store", "url = 5", "expected text in quotes"),
        ("store", "url = { env = \"LEADWIRE_TEST_NOT_SET\" }", "is not set"),
        ("store", "quarantine_max_bytes = \"2 potatoes\"", "expected a size"),
        ("delivery", "backoff_max = \"1s\"", "is shorter than the first"),
        ("delivery", "backoff_initial = \"2h\"", "is shorter than the first"),
        ("log", "level = \"inof\"", "did you mean `info`?"),
        ("log", "format = \"jsn\"", "did you mean `json`?"),
        ("sources.x", "max_per_minute = 0", "a whole number above 0"),
        ("sources.x", "max_body_bytes = \"2GiB\"", "too large"),
        ("sources.x", "default_country = \"USA\"", "two letters"),
        ("sources.x", "allow_ips = [7]", "expected a list of texts"),
        ("destinations.y", "type = 5", "expected text in quotes"),
        ("destinations.y", "type = \"fake\"\nconcurrency = 100000", "at most 1000"),
        ("destinations.y", "type = \"fake\"\nrate_per_second = 0.0", "above 0"),
    ] {
        let text = told(&format!("{GOOD}[{section}]\n{line}\n"), &[]);
        assert!(text.contains(wanted) && text.ends_with("1 fault; nothing was started"), "{line}\n{text}");
    }
}

#[test]
fn a_file_with_nothing_in_it_says_what_is_missing() {
    assert_eq!(short(""), ["leadwire.toml: there is no source, so nothing can be received"]);
    let missing = load(Path::new("/no/such/leadwire.toml"), &connectors(), std::iter::empty()).unwrap_err().to_string();
    assert!(missing.starts_with("/no/such/leadwire.toml: the configuration cannot be read"), "{missing}");
}

#[test]
fn the_password_of_the_database_belongs_elsewhere_and_is_never_shown() {
    let with = |url: &str| format!("{GOOD}\n[store]\nurl = {url}\n");
    let is_warned = |text: &str| warnings(text).iter().any(|line| line.ends_with("the password of the database stands in the file itself"));
    let literal = with("\"postgres://leadwire:hunter2@db/leads\"");
    assert!(is_warned(&literal) && !is_warned(&with("\"postgres://leadwire@db/leads\"")));
    let settings = parse_with(&literal, &[]).unwrap();
    assert!(!format!("{:?}", settings.store).contains("hunter2"));
    let variable = ("LEADWIRE__STORE__URL", "postgres://leadwire:hunter2@db/leads");
    let settings = parse_with(GOOD, &[variable]).unwrap();
    assert_eq!(settings.store.url, StoreUrl::Postgres(Secret::literal(variable.1)));
    let wrong = told(GOOD, &[("LEADWIRE__STORE__URL", "postgres://leadwire:hun@ter2@db/leads")]);
    assert!(wrong.contains("%40") && !wrong.contains("ter2"), "{wrong}");
}

#[test]
fn what_is_legal_but_probably_not_meant_is_a_warning() {
    let text = r#"
[sources.acme]
signing_keys = ["k1 "]
report_only = true
[sources.beta]
[destinations.crm]
type = "fake"
url = "http://example.com"
[destinations.idle]
type = "fake"
[[routes]]
to = ["crm"]
sources = ["acme"]
"#;
    let told = warnings(text);
    for warning in [
        "leadwire.toml: the console has no token: everyone on this machine can read the leads",
        "leadwire.toml:3:17: this secret stands in the file itself",
        "leadwire.toml:3:17: this signing key starts or ends with white space, and no request will match it",
        "leadwire.toml:4:15: `report_only` does nothing without `allow_ips`",
        "leadwire.toml:5:1: the source `beta` is awaiting its signing key: what it receives is kept in quarantine and delivered once the key is there",
        "leadwire.toml:6:1: events travel unencrypted",
        "leadwire.toml:9:1: no route leads to the destination `idle`",
        "leadwire.toml:5:1: no route takes what the source `beta` receives: it is kept and listed, and goes nowhere",
    ] {
        assert!(told.iter().any(|line| line == warning), "{warning}\nis not in\n{told:#?}");
    }
    assert_eq!(told.len(), 8);
}

#[test]
fn faults_as_json_have_the_same_places() {
    let json = parse_with("[server]\nlistn = 1\n[sources.a]\n", &[]).unwrap_err().to_json();
    assert_eq!(
        json,
        serde_json::json!({"faults": [{
            "file": "leadwire.toml", "line": 2, "column": 1, "variable": null, "path": "server.listn",
            "message": "unknown key `listn`", "help": "did you mean `listen`?"
        }]})
    );
}

/// Gives each secret that a text expects in the environment in place.
#[cfg(all(feature = "hubspot", feature = "gohighlevel", feature = "json", feature = "csv"))]
fn filled_in(text: &str) -> String {
    let mut parts = text.split("{ env = \"");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let (name, rest) = part.split_once("\" }").unwrap();
        let secret = match name.rsplit('_').next() {
            Some("SECRET") => "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz".to_owned(),
            Some("URL") if name.starts_with("DATABASE") => "postgres://leadwire:secret@db.example.com/leadwire".to_owned(),
            Some("URL") => "https://hooks.example.com/secret".to_owned(),
            _ => format!("a-secret-called-{name}"),
        };
        format!("{text}\"{secret}\"{rest}")
    })
}

#[cfg(all(feature = "hubspot", feature = "gohighlevel", feature = "json", feature = "csv"))]
#[test]
fn the_files_that_come_with_leadwire_are_right() {
    let shipped = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config"));
    let examples = std::fs::read_dir(shipped.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples = examples.filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
    for file in examples.chain([shipped.join("leadwire.toml")]) {
        let text = filled_in(&std::fs::read_to_string(&file).unwrap());
        let settings = parse(&file, &text, &crate::connectors::builtin(), std::iter::empty()).unwrap_or_else(|faults| panic!("{faults}"));
        let expected = ["stands in the file", "no token", "can read this file"];
        let unexpected = |warning: &&Diagnostic| !expected.iter().any(|part| warning.message.contains(part));
        assert_eq!(settings.warnings.iter().filter(unexpected).collect::<Vec<_>>(), Vec::<&Diagnostic>::new());
    }
}

#[cfg(all(feature = "hubspot", feature = "gohighlevel", feature = "json", feature = "csv", feature = "otlp"))]
#[test]
fn the_reference_file_is_right_with_every_line_in_it_commented_in() {
    let is_setting = |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', ':']));
    let uncomment = |line: &'static str| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line);
    let all: Vec<&str> = include_str!("../../config/leadwire.toml").lines().map(uncomment).collect();
    // Certificates are read with the settings.
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["leads.example.com".to_owned()]).unwrap();
    std::fs::write(folder.path().join("fullchain.pem"), pair.cert.pem()).unwrap();
    std::fs::write(folder.path().join("privkey.pem"), pair.signing_key.serialize_pem()).unwrap();
    let here = folder.path().to_str().unwrap();
    let text = filled_in(&all.join("\n")).replace("/etc/letsencrypt/live/leads.example.com", here).replace("/var/lib/leadwire/acme", here);
    assert!(text.contains("\nmax_per_minute = 600"));
    parse(Path::new("all"), &text, &crate::connectors::builtin(), std::iter::empty()).unwrap_or_else(|faults| panic!("{faults}"));
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_traces_says_so() {
    let told = told("[traces]\nendpoint = \"http://127.0.0.1:4318\"\n[sources.acme]\nsigning_keys = [\"k\"]", &[]);
    assert!(told.contains("this program was built without traces") && told.contains("--features otlp"), "{told}");
}

#[cfg(feature = "otlp")]
#[test]
fn traces_are_read_and_what_is_wrong_with_them_is_told() {
    let with = |traces: &str| {
        format!("[sources.acme]\nsigning_keys = [{{ env = \"PATH\" }}]\n[console]\ntoken = {{ env = \"PATH\" }}\n[traces]\n{traces}")
    };
    let read = parse_with(
        &with("endpoint = \"http://127.0.0.1:4318\"\nsample_ratio = 0.25\nheaders = { Authorization = { env = \"PATH\" } }"),
        &[],
    );
    let traces = read.unwrap().traces.unwrap();
    assert_eq!((traces.sample_ratio, traces.service_name.as_str(), traces.headers.len()), (0.25, "leadwire", 1));
    for (wrong, message) in [
        ("", "`endpoint` is missing"),
        ("endpoint = \"127.0.0.1:4318\"", "expected a web address"),
        ("endpoint = \"https://ann:secret@otel.example.com\"", "credentials do not belong in the address"),
        ("endpoint = \"http://127.0.0.1:4318\"\nsample_ratio = 1.5", "expected a number from 0 to 1"),
        ("endpoint = \"http://127.0.0.1:4318\"\nheaders = { \"a b\" = \"c\" }", "no HTTP header has this name"),
        ("endpoint = \"http://127.0.0.1:4318\"\nheaders = { a = \"c\\nd\" }", "no HTTP header can carry this value"),
        ("endpoint = \"http://127.0.0.1:4318\"\nsample_ration = 1.0", "unknown key `sample_ration`"),
    ] {
        let told = told(&with(wrong), &[]);
        assert!(told.contains(message) && !told.contains("secret"), "{wrong}: {told}");
    }
    let warned = warnings(&with("endpoint = \"http://otel.example.com\"\nheaders = { Authorization = \"Bearer x\" }"));
    assert!(
        warned.iter().any(|line| line.contains("travels unencrypted")) && warned.iter().any(|line| line.contains("stands in the file")),
        "{warned:?}"
    );
}

#[test]
fn the_reference_file_names_every_key_of_the_bridge() {
    let reference = include_str!("../../config/leadwire.toml");
    let keys = shown::HARMLESS.iter().chain(&["url", "token", "signing_keys", "env", "file"]);
    for key in keys {
        assert!(reference.contains(&format!("{key} = ")), "`{key}` is not in the reference");
    }
}

/// `base` after slips of the finger: something inserted, something removed.
fn mutated(base: &'static str, slips: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(MUTATIONS.to_vec()), 0_usize..4), slips);
    edits.prop_map(move |edits| {
        let mut text: Vec<char> = base.chars().collect();
        for (at, insert, remove) in edits {
            let at = at.index(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        text.into_iter().collect()
    })
}

const SECRETIVE: &str = r#"[console]
listen = "0.0.0.0:1" # hunter2
token = "hunter2"
[sources.acme]
signing_keys = ["hunter2", { env = "X" },
  'hunter2']
[sources]
beta = { signing_keys = "hunter2", report_only = 1 }
[destinations.crm]
type = "fake"
size = "x"
token = "hunter2"
url = "https://hunter2@example.com/hunter2"
fields = { api_key = "hunter2", a = "{{ x }}" }
"#;

const MUTATIONS: [&str; 22] = [
    "",
    "\"",
    "'",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    "\n",
    "#",
    "\u{0}",
    "é",
    "𝄞",
    "\r\n",
    "\"\"\"",
    "9999999999999999999999",
    "[a[99999999999]]",
    "nan",
    "\"a[99999999999]\" = 1\n",
    "_",
];

proptest! {
    #[test]
    fn no_file_makes_the_loader_panic(text in prop_oneof![
        mutated(GOOD, 1..6),
        mutated(include_str!("../../config/leadwire.toml"), 1..6),
        mutated(include_str!("../../config/examples/several-brands.toml"), 1..6),
    ]) {
        if let Err(faults) = parse_with(&text, &[]) {
            let shown = faults.to_string();
            prop_assert!(shown.ends_with("nothing was started"));
            let lines = text.split('\n').count();
            let is_in_file = |place: &Place| !matches!(place, Place::Line(excerpt) if excerpt.line > lines || excerpt.line == 0);
            prop_assert!(faults.faults().iter().all(|fault| is_in_file(&fault.place)));
        }
    }

    #[test]
    fn a_slip_of_the_finger_anywhere_shows_no_secret(text in mutated(SECRETIVE, 1..2)) {
        let faults = parse_with(&text, &[]).unwrap_err().to_string();
        prop_assert!(!faults.contains("unter"), "{}\n{}", text, faults);
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,80}", name in "LEADWIRE__[A-Z_\\[\\]0-9.]{0,20}", value in "\\PC{0,20}") {
        let _ = parse_with(&text, &[(&name, &value)]).map_err(|faults| faults.to_string());
    }
}

#[test]
fn a_spool_is_somewhere_else_than_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let text = |spool: &str| {
        format!(
            "[store]\nurl = \"sqlite:{0}/data/l.db\"\nspool = \"{0}/{spool}\"\n[sources.a]\nsigning_keys = [\"k\"]",
            folder.path().display()
        )
    };
    assert!(told(&text("data/../data/"), &[]).contains("the spool is the folder of the store itself"));
    assert!(warnings(&text("spool")).iter().any(|warning| warning.contains("same file system")));
    let settings = parse_with(&text("spool"), &[]).unwrap();
    assert_eq!((settings.store.spool, settings.store.spool_max_bytes), (Some(folder.path().join("spool")), 1 << 30));
    assert!(
        warnings("[store]\nspool_max_bytes = 9\n[sources.a]\nsigning_keys = [\"k\"]")
            .iter()
            .any(|warning| warning.contains("nothing without"))
    );
    assert!(told("[store]\nspool = \"\"", &[]).contains("path of a folder"));
    std::fs::write(folder.path().join("file"), "").unwrap();
    for spool in ["file", "file/below"] {
        let told = told(&text(spool), &[]);
        assert!(told.contains("the spool is a folder, and") && told.contains("/file is a file"), "{told}");
    }
}

#[test]
fn what_one_destination_needs_for_itself_is_no_others() {
    let of = |name: &str, kind: &str| format!("[destinations.{name}]\ntype = \"{kind}\"\nurl = \"https://alone.example\"\n");
    let rest = "[sources.a]\n[[routes]]\nto = [\"one\"]\n";
    assert!(parse_with(&format!("{}{rest}", of("one", "fake")), &[]).is_ok());
    let told = told(&format!("{}{}{rest}", of("one", "fake"), of("two", "other")), &[]);
    assert!(told.contains("this is the address of `one`, too") && told.contains("name another"), "{told}");
}

/// A good configuration with this section of alerts.
fn alerting(section: &str) -> String {
    format!("{GOOD}{section}")
}

#[test]
fn alerts_go_to_channels_of_three_types() {
    let text = alerting(
        "[alerts]\ndigest_at = \"7:30\"\ntime_zone = \"Europe/Berlin\"\noff = [\"silence\"]\n\
         [[alerts.channels]]\ntype = \"webhook\"\nurl = { env = \"HOME\" }\n\
         [[alerts.channels]]\ntype = \"slack\"\nurl = \"https://hooks.example.com/T0/B0\"\nseverity = \"critical\"\ndigest = false\n\
         [[alerts.channels]]\nname = \"ops\"\ntype = \"smtp\"\nhost = \"127.0.0.1\"\ntls = \"none\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n",
    );
    // A path is no web address.
    assert!(short(&text)[0].contains("this is no web address"), "{:?}", short(&text));
    let text = text.replace("{ env = \"HOME\" }", "\"https://example.com/in\"");
    let alerts = parse_with(&text, &[]).unwrap().alerts;
    let names: Vec<(&str, &str, bool)> =
        alerts.channels.iter().map(|channel| (channel.name.as_str(), channel.medium.kind(), channel.digest)).collect();
    assert_eq!(names, [("webhook", "webhook", true), ("slack-2", "slack", false), ("ops", "smtp", true)]);
    assert_eq!(alerts.channels[1].severity, AlertSeverity::Critical);
    assert_eq!(alerts.digest().unwrap().at.to_string(), "07:30:00");
    assert_eq!(alerts.off, [AlertKind::Silence]);
}

#[test]
fn what_is_wrong_with_alerts_is_told_with_its_place_and_without_secrets() {
    let text = alerting(
        "[alerts]\nremind_every = \"soon\"\noff = [\"silnce\"]\ndigest_at = \"25:00\"\ntime_zone = \"Mars\"\nsettle = \"1s\"\n\
         [[alerts.channels]]\ntype = \"webhok\"\n\
         [[alerts.channels]]\ntype = \"webhook\"\nurl = \"hunter2\"\nsecret = \"hunter2\"\nhost = \"x\"\n\
         [[alerts.channels]]\ntype = \"smtp\"\nhost = \"mail.example.com\"\ntls = \"none\"\nuser = \"ann\"\nfrom = \"nobody\"\nto = []\n",
    );
    let told = told(&text, &[]);
    for message in [
        "leadwire.toml:10:7: unknown condition `silnce`",
        "did you mean `silence`?",
        "`25:00` is no time of the day",
        "unknown time zone `Mars`",
        "unknown type `webhok`",
        "unknown key `host`",
        "this is no web address",
        "a signing key starts with `whsec_`",
        "without TLS mail goes to this machine only",
        "`user` without `password`",
        "`from` is missing, or no mail address",
        "`to` is missing",
        "out of range: at least twice `look_every`",
    ] {
        assert!(told.contains(message), "{message} is not in {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn alerts_without_a_channel_are_warned_of() {
    let told = warnings(&alerting("[alerts]\nsettle = \"10m\"\n"));
    assert!(told.contains(&"leadwire.toml:8:1: nobody is told: there is no channel".to_owned()), "{told:?}");
    let silent = GOOD.replace("[sources.acme]\n", "[sources.acme]\nsilence_after = \"26h\"\n");
    assert!(warnings(&silent).iter().any(|warning| warning.contains("`silence_after` does nothing without a channel")));
    let told = warnings(&alerting("[[alerts.channels]]\ntype = \"slack\"\nurl = \"http://10.0.0.1/x\"\n"));
    assert!(
        told.iter().any(|warning| warning.contains("travel unencrypted"))
            && told.iter().any(|warning| warning.contains("stands in the file"))
    );
}

#[test]
fn everyone_on_the_console_has_a_name_a_token_and_a_role() {
    let text = |users: &str| format!("[console]\nlisten = \"0.0.0.0:9000\"\n{users}\n{GOOD}");
    let settings = parse_with(
        &text("[console.users.ann]\ntoken = \"ann-0123456789abcdef\"\nrole = \"operate\"\n[console.users.ben]\ntoken = \"ben-0123456789abcdef\""),
        &[],
    )
    .unwrap();
    let roles: Vec<(&str, Role)> = settings.console.users.iter().map(|(name, user)| (name.as_str(), user.role)).collect();
    assert_eq!(roles, [("ann", Role::Operate), ("ben", Role::Read)]);
    assert_eq!(settings.redactor.clean("ben-0123456789abcdef"), "••••");
    for (users, expected) in [
        ("[console.users.ann]\nrole = \"read\"", "`ann` has no token to log in with"),
        ("[console.users.ann]\ntoken = \"t-0123456789abcdef\"\nrole = \"admin\"", "`admin`"),
        ("[console.users.operator]\ntoken = \"t-0123456789abcdef\"", "stands for somebody else"),
        ("[console.users.Ann]\ntoken = \"t-0123456789abcdef\"", "the name `Ann` has other characters"),
        (
            "[console.users.a]\ntoken = \"t-0123456789abcdef\"\n[console.users.b]\ntoken = \"t-0123456789abcdef\"",
            "somebody else has the same token",
        ),
        ("[console.users.a]\ntoken = \"a b\"", "no HTTP header can carry this token"),
        ("[console.users.a]\ntokn = \"x\"", "unknown key `tokn`"),
        ("users = 1", "expected a table"),
        ("session_lifetime = \"0s\"", "out of range"),
    ] {
        let told = told(&text(users), &[]);
        assert!(told.contains(expected), "{expected} is not in\n{told}");
        assert!(!told.contains("t-0123456789abcdef"), "{told}");
    }
}

#[test]
fn tokens_that_can_be_guessed_and_roles_that_lead_nowhere_are_warned_of() {
    let told = warnings(&format!(
        "[console]\nmask_personal_data = true\n[console.users.a]\ntoken = \"short\"\n[console.users.b]\ntoken = \"aaaaaaaaaaaaaaaaaaaa\"\n{GOOD}"
    ));
    for expected in ["short enough to be guessed", "repeats a few characters", "nobody may act"] {
        assert!(told.iter().any(|line| line.contains(expected)), "{expected} is not in {told:#?}");
    }
    let masked = format!("[console]\ntoken = \"t-0123456789abcdef\"\nmask_personal_data = true\n{GOOD}");
    assert!(warnings(&masked).iter().any(|line| line.contains("does nothing without a user")));
}
