//! What the documents say of the program is so: links lead somewhere, commands and configurations are those of the program, and every error
//! code has its paragraph. `scripts/docs.py` looks; and `scripts/architecture.py`, whether secrets are compared as they must be.

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
        ("| claim | shown by |\n| --- | --- |\n| it holds | trust us |", "names no test that shows it"),
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

/// The files in which strangers are recognised, one of them with another text; what the script says of them.
fn compared(changed: Option<(&str, &str, &str)>) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for name in ["verify/mod.rs", "console/access/users.rs", "console/access/guard.rs", "console/access/session.rs", "receive/hook.rs"] {
        let mut text = std::fs::read_to_string(root.join("src").join(name)).unwrap();
        if let Some((_, from, to)) = changed.filter(|(file, ..)| *file == name) {
            assert!(text.contains(from), "{name} has no {from}");
            text = text.replace(from, to);
        }
        let file = folder.path().join("src").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    Command::new("python3").arg(root.join("scripts/architecture.py")).arg(folder.path()).output().unwrap()
}

#[test]
fn a_secret_that_is_not_compared_in_constant_time_is_found() {
    let output = compared(None);
    assert!(output.status.success(), "{}", told(&output));
    for (file, from, to) in [
        ("verify/mod.rs", "any | same(signature, &mac)", "any | Choice::from(u8::from(*signature == mac))"),
        ("verify/mod.rs", "any | same(signature, &mac)", "any | signature.ct_eq(&mac)"),
        ("verify/mod.rs", "any | same(signature, &mac)", "any | find(signature)"),
        ("console/access/users.rs", "same(&digest, &user.digest).into()", "user.digest == digest"),
        ("console/access/guard.rs", "same(&shown, entered.form_token.as_bytes()).into()", "shown == entered.form_token.as_bytes()"),
        ("console/access/session.rs", "!bool::from(same(&signature, &mac))", "signature.as_slice() != mac.as_slice()"),
        ("receive/hook.rs", "\nuse ", "\nfn is_it(token: &str, known: &str) -> bool { token == known }\nuse "),
    ] {
        let output = compared(Some((file, from, to)));
        assert!(output.status.code() == Some(1) && told(&output).contains(&format!("src/{file}")), "{to} in {file}: {}", told(&output));
    }
}
