//! The program that has the connector.

use std::process::Command;

fn leadwire(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_leadwire-acme")).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn it_lists_the_connector_beside_those_of_leadwire() {
    let list = leadwire(&["connectors"]);
    assert!(list.contains("acme") && list.contains("contacts and notes in Acme CRM") && list.contains("json"), "{list}");
}

#[test]
fn it_shows_the_reference_of_the_connector() {
    assert!(leadwire(&["connectors", "acme"]).contains("| `token` |"));
    assert!(leadwire(&["connectors", "--json"]).contains("| `token` |"));
}

#[test]
fn it_reads_a_configuration_with_the_connector() {
    leadwire(&["check", "--config", concat!(env!("CARGO_MANIFEST_DIR"), "/leadwire.toml")]);
}
