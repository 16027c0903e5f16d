//! For how long what is stored is kept, by a clock that is put forward between one bridge and the next.

use crate::harness::{Bridge, KEY, Setup, eventually, lead, preload, signature};
use serde_json::Value;

const DAY: i64 = 86_400;

/// How many events, bodies in the quarantine, and lines of the trail there are.
fn kept(bridge: &Bridge) -> [usize; 3] {
    let count = |arguments: &[&str]| bridge.json(arguments).as_array().map(Vec::len).unwrap();
    [count(&["events", "list"]), count(&["quarantine", "list"]), count(&["actions", "list"])]
}

/// Another bridge, so many days later.
fn after(setup: Setup, days: i64) -> Bridge {
    std::fs::write(setup.folder.path().join("shift"), (days * DAY).to_string()).unwrap();
    setup.start()
}

/// Twice, so that what the first bridge would have removed is missed by the second.
async fn still_kept(setup: Setup, days: i64, expected: [usize; 3]) -> Setup {
    let setup = until_kept(setup, days, expected).await;
    until_kept(setup, days, expected).await
}

async fn until_kept(setup: Setup, days: i64, expected: [usize; 3]) -> Setup {
    let bridge = after(setup, days);
    eventually(&format!("{expected:?} to be kept after {days} days"), async || (kept(&bridge) == expected).then_some(())).await;
    bridge.assert_audit();
    bridge.terminate()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_goes_when_the_documents_say_and_not_before() {
    let setup = Setup::bare(&format!("[sources.acme]\nsigning_keys = [\"{KEY}\"]\n[sources.awaits]\n")).archive();
    let shift = setup.folder.path().join("shift").display().to_string();
    let library = preload("shifted_clock").display().to_string();
    let setup =
        setup.environment("LD_PRELOAD", &library).environment("CLOCK_SHIFT", &shift).environment("LEADWIRE__STORE__RETENTION", "90d");
    let bridge = after(setup, 0);
    for n in 1..=2 {
        bridge.post(lead(n).to_string()).await;
    }
    bridge.until("delivered", 2).await;
    let forged = signature("another-key-0123456789", b"{}");
    bridge.post_to("acme", "{}", &[("X-Webhook-Signature", &forged)]).await.unwrap();
    let promised = bridge.post_to("awaits", lead(3).to_string(), &[]).await.unwrap();
    assert_eq!(promised.status, 200, "its sender was told success");
    let certificate: Value = bridge.json(&["person", "erase", "--email", "david2@example.com", "--yes"]);
    assert!(certificate["tombstones"].as_array().is_some_and(|tombstones| tombstones.len() == 1), "{certificate}");
    let [events, bodies, acts] = kept(&bridge);
    assert!((events, bodies) == (2, 2) && acts > 0, "a lead and a tombstone; a forged body and a promised one: {:?}", kept(&bridge));
    let setup = bridge.terminate();
    let setup = still_kept(setup, 29, [2, 2, acts]).await;
    let setup = until_kept(setup, 31, [2, 1, acts]).await;
    let setup = still_kept(setup, 89, [2, 1, acts]).await;
    let setup = until_kept(setup, 91, [0, 1, acts]).await;
    let setup = still_kept(setup, 399, [0, 1, acts]).await;
    until_kept(setup, 401, [0, 1, 0]).await;
}
