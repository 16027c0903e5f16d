//! A bridge of many clients: hundreds of sources and destinations in one configuration.

use crate::harness::{KEY, Setup, eventually, lead, rows, signature};
use std::fmt::Write as _;

const SOURCES: usize = 300;
const DESTINATIONS: usize = 200;
/// Each destination had the authorities of the machine in memory for itself, twice: over half a megabyte. A bridge with one takes about 100
/// MiB in a debug build.
const MOST_MIB: u64 = 180;
/// Each set-up of a destination at the start had a thread of its own.
const MOST_THREADS: u64 = 80;

fn setup() -> Setup {
    let mut text = String::new();
    for n in 0..SOURCES {
        write!(text, "[sources.client-{n}]\nsigning_keys = [\"{KEY}-{n}\"]\n").unwrap();
    }
    for n in 0..DESTINATIONS {
        write!(text, "[destinations.crm-{n}]\ntype = \"json\"\nurl = \"http://127.0.0.1:9/\"\n").unwrap();
        write!(text, "[[routes]]\nsources = [\"client-{n}\"]\nkinds = [\"appointment\"]\nto = [\"crm-{n}\"]\n").unwrap();
    }
    Setup::bare(&text).archive()
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_sources_and_destinations_are_served_by_one_small_bridge() {
    let bridge = setup().start();
    for n in [0, SOURCES - 1] {
        let body = lead(n as u64).to_string();
        let header = signature(&format!("{KEY}-{n}"), body.as_bytes());
        let answer = bridge.post_to(&format!("client-{n}"), body, &[("X-Webhook-Signature", &header)]).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    eventually("both leads in the archive", async || (rows(&bridge.setup.drop_folder()).len() == 2).then_some(())).await;
    let (mib, threads) = (bridge.of_process("VmHWM:") / 1_024, bridge.of_process("Threads:"));
    assert!(mib < MOST_MIB && threads < MOST_THREADS, "{mib} MiB, {threads} threads");
    let log = bridge.log();
    assert_eq!(log.matches("/hooks/client-").count(), 100, "the URLs of the first");
    assert!(log.contains("leadwire: and 200 more; `leadwire sources list` shows all of them"), "{log}");
    bridge.assert_audit();
}

#[test]
fn advice_for_many_places_is_given_once_and_counted() {
    let setup = setup();
    setup.write();
    let output = setup.command(&["check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("this secret stands in the file itself").count(), 3 + 1, "three places and the rest in one line: {said}");
    assert!(said.contains("warning: 297 more places, which `check --json` lists: this secret stands in the file itself"), "{said}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("300 sources, 201 destinations, 201 routes"));
    let json: serde_json::Value = serde_json::from_slice(&setup.command(&["check", "--json"]).stdout).unwrap();
    assert!(json["warnings"].as_array().unwrap().len() > SOURCES, "programs get all of them");
}
