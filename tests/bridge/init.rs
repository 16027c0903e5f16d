//! A configuration from a few flags, and more in the one there is.

use crate::harness::{Setup, eventually, free_address, rows, serve};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadwire"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("NO_COLOR", "1").env_remove("LEADWIRE_CONFIG");
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    text(&output)
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join("config").join(name)).unwrap()
}

const FIRST: [&str; 8] = [
    "init",
    "--source",
    "acme",
    "--destination",
    "archive=csv",
    "--set",
    "archive.directory=drop",
    "--public-url=https://leads.example.com",
];
const HUBSPOT: [&str; 5] = ["init", "--destination", "crm=hubspot", "--set", "crm.token=pat-na1-secret-0123456789"];

#[test]
fn a_few_flags_make_a_configuration_that_is_right_and_say_what_to_click() {
    let folder = tempfile::tempdir().unwrap();
    let told = done(folder.path(), &FIRST);
    for part in ["https://leads.example.com/hooks/acme", "tab Webhook", "Sign Key", "leadwire doctor", "leadwire send --source acme"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let checked = done(folder.path(), &["check"]);
    assert!(checked.contains("fine (1 source, 1 destination, 1 route"), "{checked}");
    assert!(!checked.contains("can read") && !checked.contains("stands in the file"), "{checked}");
    let mode = std::fs::metadata(folder.path().join("config/.env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(read(folder.path(), ".env").contains("LEADWIRE_CONSOLE_TOKEN='"));
    assert_eq!(std::fs::read_dir(folder.path().join("config")).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn what_is_there_stays_to_the_byte_and_more_comes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), &FIRST);
    let own = format!("{}\n# a remark of mine, without an end", read(folder.path(), "leadwire.toml"));
    std::fs::write(folder.path().join("config/leadwire.toml"), &own).unwrap();
    let (before, secrets) = (read(folder.path(), "leadwire.toml"), read(folder.path(), ".env"));
    let told = done(folder.path(), &HUBSPOT);
    assert!(!told.contains("pat-na1"), "{told}");
    let after = read(folder.path(), "leadwire.toml");
    assert!(after.starts_with(&before) && after.contains("token = { env = \"CRM_TOKEN\" }") && !after.contains("pat-na1"), "{after}");
    assert!(
        read(folder.path(), ".env").starts_with(&secrets) && read(folder.path(), ".env").contains("CRM_TOKEN='pat-na1-secret-0123456789'")
    );
    assert!(done(folder.path(), &["check"]).contains("fine (1 source, 2 destinations, 2 routes"));

    let (before, secrets) = (after, read(folder.path(), ".env"));
    let told = done(folder.path(), &[&FIRST[..5], &HUBSPOT[1..]].concat());
    assert!(told.contains("the source acme is there already") && told.contains("the destination crm is there already"), "{told}");
    assert!(told.contains("has all of this; nothing is written"), "{told}");
    assert_eq!((read(folder.path(), "leadwire.toml"), read(folder.path(), ".env")), (before, secrets));
}

#[test]
fn a_source_that_awaits_its_key_gets_it_later() {
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), &FIRST);
    assert!(done(folder.path(), &["check"]).contains("is awaiting its signing key"));
    let told = done(folder.path(), &["init", "--source", "acme", "--key", "acme=whk_0123456789abcdef"]);
    assert!(told.contains("the secret is written to config/.env; config/leadwire.toml stays as it is"), "{told}");
    assert!(!done(folder.path(), &["check"]).contains("is awaiting its signing key"));
    let shown: Value = serde_json::from_slice(&run(folder.path(), &["config", "show", "--json"]).stdout).unwrap();
    assert!(!shown.to_string().contains("whk_0123456789abcdef"), "{shown}");
    let again = done(folder.path(), &["init", "--source", "acme", "--key", "acme=another"]);
    assert!(again.contains("stays as it is") && !read(folder.path(), ".env").contains("another"), "{again}");
}

#[test]
fn what_would_not_be_right_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["init", "--source", "acme", "--destination", "x=fax"][..], "there is no type `fax`"),
        (&["init", "--source", "Acme!", "--destination", "a=csv", "--set", "a.directory=d"], "nothing was written"),
        (&["init", "--source", "acme", "--destination", "a=csv", "--set", "a.directroy=d"], "did you mean `directory`?"),
        (&["init", "--source", "acme", "--set", "b.url=x"], "there is no --destination b=TYPE"),
        (&["init", "--source", "acme", "--key", "other=x"], "there is no --source other"),
        (&["init"], "there is nobody to ask"),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
        assert!(!folder.path().join("config/leadwire.toml").exists() && !folder.path().join("config/.env").exists());
    }
    done(folder.path(), &FIRST);
    let before = read(folder.path(), "leadwire.toml");
    let output = run(folder.path(), &["init", "--destination", "second=csv", "--set", "second.directory=drop"]);
    assert_eq!(output.status.code(), Some(64), "one folder for two: {}", text(&output));
    assert_eq!(read(folder.path(), "leadwire.toml"), before);
}

/// The rows of a folder, also those of a file that is not finished.
fn rows_in(folder: &Path) -> usize {
    rows(folder).len() + rows(&folder.join(".leadwire")).len()
}

fn crm_at(url: &str, token: &str) -> Vec<String> {
    ["--destination", "crm=hubspot", "--set", &format!("crm.base_url={url}"), "--set", &format!("crm.token={token}")]
        .map(str::to_owned)
        .to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn by_flags_the_doctor_looks_and_a_test_lead_goes_the_whole_way() {
    let folder = tempfile::tempdir().unwrap();
    let crm = serve("hubspot").await;
    let more = crm_at(crm.url().as_str(), "made-up-token");
    let arguments: Vec<&str> =
        FIRST.into_iter().chain(more.iter().map(String::as_str)).chain(["--yes", "--doctor", "--test-lead"]).collect();
    let told = done(folder.path(), &arguments);
    for part in [
        "tab Webhook",
        "credentials",
        "can be made at the first row",
        "A made-up lead, ",
        "archive      delivered",
        "crm          delivered",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(crm.state()["contacts"].as_array().unwrap().len(), 1);
    assert_eq!(rows_in(&folder.path().join("drop")), 1);
    done(folder.path(), &["audit"]);
    // Again, for programs: each part is a line.
    let output = run(folder.path(), &["init", "--source", "acme", "--yes", "--test-lead", "--json"]);
    let lines: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["left_alone"][0].as_str(), &lines[1]["arrived"]), (Some("the source acme"), &json!(true)), "{lines:?}");
    assert_eq!(lines[1]["deliveries"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_refuses_is_told_and_gets_no_test_lead_by_the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let crm = serve("hubspot").await;
    let wrong = crm_at(crm.url().as_str(), "another-token");
    let arguments: Vec<&str> =
        FIRST.into_iter().chain(wrong.iter().map(String::as_str)).chain(["--yes", "--doctor", "--test-lead"]).collect();
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("401") && !text(&output).contains("made-up lead"), "{}", text(&output));
    let output = run(folder.path(), &["init", "--source", "acme", "--yes", "--test-lead"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("archive      delivered") && text(&output).contains("crm          waiting"), "{}", text(&output));
    assert_eq!(crm.state()["contacts"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_runs_takes_the_file_first_and_then_the_test_lead() {
    let folder = tempfile::tempdir().unwrap();
    let (hooks, console) = (free_address(), free_address());
    let drop_of = |name: &str| format!("{name}.directory={}", folder.path().join(name).display());
    done(folder.path(), &["init", "--source", "acme", "--destination", "first=csv", "--set", &drop_of("first"), "--listen", &hooks]);
    let setup = Setup::of_file(&folder.path().join("config/leadwire.toml"));
    let setup = setup.environment("LEADWIRE__SERVER__LISTEN", &hooks).environment("LEADWIRE__CONSOLE__LISTEN", &console);
    let bridge = setup.start();
    let add = |more: &[&str]| bridge.command(&[&["init", "--yes", "--source", "acme", "--test-lead"], more].concat());
    let output = add(&[]);
    assert!(output.status.code() == Some(1) && text(&output).contains("has no signing key yet"), "{}", text(&output));
    let output = add(&["--key", "acme=whk_0123456789abcdef", "--destination", "second=csv", "--set", &drop_of("second")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("has taken the configuration") && text(&output).contains("second       delivered"), "{}", text(&output));
    for name in ["first", "second"] {
        eventually("the row", async || (rows_in(&folder.path().join(name)) == 1).then_some(())).await;
    }
}

#[test]
fn who_is_asked_is_offered_the_doctor_and_a_test_lead() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("{} init", env!("CARGO_BIN_EXE_leadwire")), "/dev/null"]).current_dir(folder.path());
    terminal.env("NO_COLOR", "1").env_remove("LEADWIRE_CONFIG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut asked = terminal.spawn().expect("`script` of util-linux is needed, which makes a terminal");
    // The address, a source, its key, no more; a destination, its name, its folder, no more; the doctor; the test lead.
    let answers = ["https://leads.example.com", "acme", "", "", "csv", "archive", "drop", "", "y", "y"];
    asked.stdin.take().unwrap().write_all((answers.join("\n") + "\n").as_bytes()).unwrap();
    let output = asked.wait_with_output().unwrap();
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for part in ["Shall the doctor look at it now?", "Shall a made-up lead go the whole way now?", "archive      delivered"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(rows_in(&folder.path().join("drop")), 1);
}
