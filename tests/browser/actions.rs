//! What a person does with a mouse, from the button to what is true afterwards.

use crate::browser::{Browser, Screen};
use crate::checks::{assert_accessible, assert_sound};
use crate::harness::{Bridge, Setup};
use crate::showroom::{OWNER, Showroom, guarded, log_in, small};
use leadwire_connector::simulator::{FaultKind, FaultRule};
use serde_json::{Value, json};

/// The trail, newest first: what was done to what, how often, by whom.
fn trail(bridge: &Bridge) -> Vec<(String, String, i64, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = bridge.json(&["actions", "list"]);
    let of = |row: &Value| (word(&row["action"]), word(&row["target"]), row["count"].as_i64().unwrap(), word(&row["who"]));
    rows.as_array().unwrap().iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_put_on_hold_and_resumed() {
    let (bridge, _sink) = small(guarded(Setup::new())).await;
    let browser = Browser::open(&bridge);
    browser.go("/destinations/crm");
    log_in(&browser, OWNER);
    // Without a reason the browser itself refuses.
    browser.press("Hold");
    assert_eq!(browser.eval("document.querySelector('#reason').matches(':invalid')"), true);
    browser.fill("#reason", "moving accounts <b>today</b>");
    browser.fill("#for", "2h");
    browser.press("Hold");
    browser.assert_says(&["crm is on hold: its deliveries wait, and none is lost", "moving accounts <b>today</b>", "until"]);
    assert_accessible(&browser, "after an action");
    browser.picture("acted");
    browser.go("/destinations");
    browser.assert_says(&["On hold since"]);
    assert!(!browser.text("body").contains("none is lost"), "a notice is shown once");
    browser.press("crm");
    browser.press("Resume");
    browser.assert_says(&["crm is released"]);
    let told: Vec<_> = trail(&bridge).into_iter().map(|(action, target, _, who)| (action, target, who)).collect();
    let row = |action: &str| (action.to_owned(), "crm".to_owned(), "operator".to_owned());
    assert_eq!(told, [row("resume"), row("hold")]);
    assert_sound(&browser, Screen::Desk, "actions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_delivered_again_from_its_own_page() {
    let (bridge, sink) = small(Setup::new().with("")).await;
    bridge.until("delivered", 1).await;
    sink.order(FaultRule::always(FaultKind::Status(422)));
    bridge.post(crate::harness::lead(2).to_string()).await;
    let event = bridge.until("dead", 1).await[0]["event"].as_str().unwrap().to_owned();
    sink.clear_faults();
    let browser = Browser::open(&bridge);
    browser.go(&format!("/leads/{event}"));
    browser.assert_says(&["dead letter at crm"]);
    browser.press("Deliver again");
    browser.until_says("accepted by crm");
    assert_eq!(browser.path(), format!("/leads/{event}"));
    assert_eq!(trail(&bridge)[0].0, "replay");
    bridge.assert_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_went_well_is_delivered_again_when_asked() {
    let (bridge, sink) = small(Setup::new()).await;
    let event = bridge.until("delivered", 1).await[0]["event"].as_str().unwrap().to_owned();
    let browser = Browser::open(&bridge);
    browser.go(&format!("/leads/{event}"));
    browser.press("Deliver again");
    crate::harness::eventually("the second delivery", async || (sink.state()["accepted"] == json!(2)).then_some(())).await;
    browser.until_says("accepted by crm");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_person_is_mended_by_clicking() {
    let room = Showroom::open().await;
    let browser = Browser::open(&room.bridge);
    browser.go("/");
    browser.press("Needs a person");
    browser.picture("person");
    let _ = &room.hubspot;
    room.sheet.clear_faults();
}
