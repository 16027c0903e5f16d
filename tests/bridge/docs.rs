//! What the documents say of the program is so: links lead somewhere, commands and configurations are those of the program, and every error
//! code has its paragraph. `scripts/docs.py` looks.

use std::path::Path;
use std::process::{Command, Output};

fn look(folder: Option<&Path>) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/docs.py");
    Command::new("python3").arg(script).arg(env!("CARGO_BIN_EXE_leadwire")).args(folder).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn links_commands_configurations_codes_and_tests_that_the_documents_name_exist() {
    let output = look(None);
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn a_mistake_in_a_document_is_found() {
    let mistakes = [
        ("[somewhere](nowhere.md)", "there is no nowhere.md"),
        ("[somewhere](#nowhere)", "has no heading for #nowhere"),
        ("| a row | of no table |", "no line of dashes"),
        ("```sh\nleadwire chek\n```", "knows no `chek`"),
        ("```console\n$ leadwire send --sauce acme\n```", "no option `--sauce`"),
        ("`leadwire send --kind led`", "not led"),
        ("```toml\n[sources\n```", "this is no TOML"),
        ("```toml\n[server]\nlisen = \"127.0.0.1:0\"\n```", "refuses this configuration"),
        ("`tests/bridge/docs.rs::no_such_test`", "there is no test"),
        ("# Nothing", "there is no paragraph with the heading: Answer `no_header`"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<&str> = mistakes.iter().map(|(mistake, _)| *mistake).collect();
    std::fs::write(folder.path().join("README.md"), text.join("\n\n")).unwrap();
    let output = look(Some(folder.path()));
    assert_eq!(output.status.code(), Some(1));
    for (mistake, finding) in mistakes {
        assert!(told(&output).contains(finding), "{mistake}\nis not found:\n{}", told(&output));
    }
}
