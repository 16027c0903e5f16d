//! What a person does with a mouse, from the button to what is true afterwards.

use crate::browser::{Browser, Screen};
use crate::checks::{assert_accessible, assert_sound};
use crate::harness::{Bridge, KEY, Setup, endpoint, eventually, lead, signature};
use crate::showroom::{OWNER, Showroom, guarded, log_in, missed_chat, small, with_missed};
use leadwire_connector::simulator::{FaultKind, FaultRule};
use serde_json::{Value, json};

/// Each action at a desk and on a phone.
macro_rules! at_each_screen {
    ($($story:ident)*) => {
        mod desk {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                super::$story(super::Screen::Desk).await;
            })*
        }
        mod phone {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                super::$story(super::Screen::Phone).await;
            })*
        }
    };
}

at_each_screen! {
    a_destination_is_put_on_hold_and_resumed
    a_delivery_is_made_again_from_the_page_of_its_lead
    dead_letters_are_replayed_and_discarded_by_their_cause
    all_dead_letters_since_a_moment_are_replayed_or_those_of_a_cause_discarded
    refused_bodies_are_read_verified_again_and_purged
    events_without_a_route_are_routed
    a_lead_is_made_of_a_chat_that_brought_none_and_another_is_dismissed
}

/// The trail, newest first: what was done to what, how often, by whom.
fn trail(bridge: &Bridge) -> Vec<(String, String, i64, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = bridge.json(&["actions", "list"]);
    let of = |row: &Value| (word(&row["action"]), word(&row["target"]), row["count"].as_i64().unwrap(), word(&row["who"]));
    rows.as_array().unwrap().iter().map(of).collect()
}

async fn a_destination_is_put_on_hold_and_resumed(screen: Screen) {
    let (bridge, _sink) = small(guarded(Setup::new())).await;
    let browser = Browser::open_on(screen, &bridge);
    browser.go("/destinations/crm");
    log_in(&browser, OWNER);
    // Without a reason the browser itself refuses.
    browser.touch("Hold");
    assert_eq!(browser.eval("document.querySelector('#reason').matches(':invalid')"), true);
    browser.fill("#reason", "moving accounts <b>today</b>");
    browser.fill("#for", "2h");
    browser.press("Hold");
    browser.assert_says(&["crm is on hold: its deliveries wait, and none is lost", "moving accounts <b>today</b>", "until"]);
    assert_eq!(browser.text("#destination .badge"), "on hold");
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
    assert_sound(&browser, screen, "actions");
}

async fn a_delivery_is_made_again_from_the_page_of_its_lead(screen: Screen) {
    let (bridge, sink) = small(Setup::new()).await;
    let event = |rows: Vec<Value>| rows[0]["event"].as_str().unwrap().to_owned();
    let well = event(bridge.until("delivered", 1).await);
    sink.order(FaultRule::always(FaultKind::Status(422)));
    bridge.post(lead(2).to_string()).await;
    let dead = event(bridge.until("dead", 1).await);
    sink.clear_faults();
    let browser = Browser::open_on(screen, &bridge);
    browser.go(&format!("/leads/{dead}"));
    browser.assert_says(&["dead letter at crm"]);
    browser.press("Deliver again");
    browser.until_says("accepted by crm");
    assert_eq!(browser.path(), format!("/leads/{dead}"));
    assert_eq!(trail(&bridge)[0].0, "replay");
    // One that went well is delivered once more when asked.
    browser.go(&format!("/leads/{well}"));
    let before = sink.count();
    browser.press("Deliver again");
    eventually("the second delivery", async || (sink.count() > before).then_some(())).await;
    browser.until_says("accepted by crm");
    assert_sound(&browser, screen, "deliveries");
    bridge.assert_audit();
}

/// The XPath of the first row of the table below this heading.
fn first(heading: &str) -> String {
    format!("//section[@aria-labelledby='{heading}']//tbody/tr[1]")
}

/// How many deliveries to a destination are in this state.
fn count(bridge: &Bridge, destination: &str, state: &str) -> usize {
    bridge.deliveries().iter().filter(|row| row["destination"] == destination && row["state"] == state).count()
}

async fn dead_letters_are_replayed_and_discarded_by_their_cause(screen: Screen) {
    let room = Showroom::open().await;
    let (bridge, browser) = (&room.bridge, Browser::open_on(screen, &room.bridge));
    browser.go("/");
    browser.press("Needs a person");
    browser.until_says("sheet: it refused what was in them, HTTP 422");
    let dead = count(bridge, "sheet", "dead");
    browser.press("List");
    browser.assert_says(&["One by one", "For programs"]);
    // One is discarded, with a reason that the browser asks for.
    browser.touch_at(&format!("{}//summary", first("list")));
    browser.fill("#why-1", "a test of ours");
    browser.press("Discard it");
    assert_eq!((count(bridge, "sheet", "dead"), count(bridge, "sheet", "skipped")), (dead - 1, 1));
    // One is replayed, and dies again.
    let before = room.sheet.count();
    browser.press("Replay");
    eventually("the replay", async || (room.sheet.count() > before && count(bridge, "sheet", "dead") == dead - 1).then_some(())).await;
    room.sheet.clear_faults();
    browser.go("/person");
    browser.until_says("Replay all of this cause");
    browser.press("Replay all of this cause");
    browser.assert_says(&["Dead letters"]);
    eventually("the leads to arrive", async || (count(bridge, "sheet", "delivered") == dead - 1).then_some(())).await;
    browser.go("/person");
    browser.assert_says(&["There is none: every delivery went out, or is still on its way.", "What people did last", "replay", "discard"]);
    browser.press("All that people did");
    browser.assert_says(&["replay", "discard", "hold", "local"]);
    assert_accessible(&browser, "the trail");
    assert_sound(&browser, screen, "dead letters");
    bridge.assert_audit();
}

async fn all_dead_letters_since_a_moment_are_replayed_or_those_of_a_cause_discarded(screen: Screen) {
    let room = Showroom::open().await;
    let (bridge, browser) = (&room.bridge, Browser::open_on(screen, &room.bridge));
    browser.go("/person");
    browser.touch("Replay all since …");
    browser.fill("#since", "yesterday");
    browser.press("Replay");
    browser.assert_says(&["a moment is written as"]);
    browser.touch("Replay all since …");
    browser.fill("#since", "2h");
    browser.choose("#replay-to", "sheet");
    let (before, dead) = (room.sheet.count(), count(bridge, "sheet", "dead"));
    browser.press("Replay");
    eventually("the replays", async || {
        (room.sheet.count() >= before + dead as u64 && count(bridge, "sheet", "dead") == dead).then_some(())
    })
    .await;
    browser.go("/person");
    browser.until_says("Discard all of this cause");
    browser.touch("Discard all of this cause");
    browser.fill("#why-1", "the sheet is given up");
    browser.press(&format!("Discard all {dead}"));
    browser.until_says("There is none: every delivery went out");
    assert_eq!((count(bridge, "sheet", "dead"), count(bridge, "sheet", "skipped")), (0, dead));
    bridge.assert_audit();
}

async fn refused_bodies_are_read_verified_again_and_purged(screen: Screen) {
    let other = "whk_story_that_the_bridge_learns_later";
    let body = lead(1).to_string();
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("crm", sink.url().as_str()).start();
    bridge.post_to("acme", body.clone(), &[("X-Webhook-Signature", &signature(other, body.as_bytes()))]).await.unwrap();
    bridge.post_to("acme", "no lead either", &[]).await.unwrap();
    bridge.post_to("acme", "<b>no lead</b>", &[]).await.unwrap();
    let browser = Browser::open_on(screen, &bridge);
    browser.go("/person");
    browser.press("Verify again");
    browser.assert_says(&["none verifies now; each says why"]);
    drop(browser);
    // With the key, the bridge verifies by itself what it kept.
    let mut setup = bridge.terminate();
    setup.replace(&format!("[\"{KEY}\"]"), &format!("[\"{KEY}\", \"{other}\"]"));
    let bridge = setup.start();
    let browser = Browser::open_on(screen, &bridge);
    bridge.until("delivered", 1).await;
    browser.go("/person");
    browser.press_at(&format!("{}//a", first("quarantine")));
    browser.assert_says(&["Why it was refused", "What came", "<b>no lead</b>"]);
    assert_accessible(&browser, "a refused body");
    browser.touch("Purge it");
    assert_eq!(browser.eval("document.querySelector('input[required][type=checkbox]').matches(':invalid')"), true);
    browser.touch_at("//label[contains(., 'gone for good')]");
    browser.press("Purge it");
    browser.assert_says(&["1 body removed"]);
    // The rest of the source at once.
    browser.touch("Purge bodies of acme");
    browser.touch_at("//label[contains(., 'gone for good')]");
    browser.press("Purge");
    browser.assert_says(&["1 body removed", "It is empty: every request was verified."]);
    assert_sound(&browser, screen, "the quarantine");
}

async fn events_without_a_route_are_routed(screen: Screen) {
    let room = Showroom::open().await;
    let (bridge, browser) = (&room.bridge, Browser::open_on(screen, &room.bridge));
    browser.go("/person");
    // By the rules, nothing takes it.
    browser.press_at(&format!("{}//button", first("unrouted")));
    browser.assert_says(&["no route takes this event"]);
    let before = room.sheet.count();
    browser.choose("section[aria-labelledby=unrouted] tbody tr:first-child select", "to sheet");
    browser.press_at(&format!("{}//button", first("unrouted")));
    browser.assert_says(&["1 delivery made"]);
    eventually("the sheet to be asked", async || (room.sheet.count() > before).then_some(())).await;
    browser.touch_at("//*[@id='route-all']/summary");
    browser.choose("#route-to", "to desk");
    browser.press_at("//*[@id='route-all']//button");
    browser.until_says("Every event has a route.");
    assert_eq!(bridge.json(&["events", "list", "--unrouted"]), json!([]));
    // From its own page, one more.
    browser.go(&format!("/leads/{}", room.event("appointment")));
    browser.choose("select[name=to]", "to desk");
    browser.press("Route now");
    browser.assert_says(&["1 delivery made", "desk"]);
    assert_sound(&browser, screen, "routing");
    bridge.assert_audit();
}

async fn a_lead_is_made_of_a_chat_that_brought_none_and_another_is_dismissed(screen: Screen) {
    let sink = endpoint().await;
    let bridge = Setup::new().endpoint("crm", sink.url().as_str()).start();
    bridge.post(missed_chat(7, "write to eve@example.com").to_string()).await;
    bridge.post(missed_chat(8, "mallory@example.com, please").to_string()).await;
    let bridge = with_missed(bridge, 2).await;
    let browser = Browser::open_on(screen, &bridge);
    browser.go("/person");
    browser.assert_says(&["Missed leads", "eve@example.com", "mallory@example.com"]);
    assert_accessible(&browser, "missed leads");
    browser.press_at("//tr[contains(., 'eve@example.com')]//button[normalize-space()='Make a lead of it']");
    assert_eq!(browser.eval("document.querySelectorAll('section[aria-labelledby=missed] tbody tr').length"), 1);
    browser.touch("Dismiss");
    browser.fill("#no-lead-1", "a bot");
    browser.press("Dismiss it");
    browser.assert_says(&["There is none: every visitor who left a contact in a chat came as a lead, too."]);
    eventually("the made lead to arrive", async || {
        let rows = bridge.json(&["events", "list"]);
        rows.as_array().unwrap().iter().any(|row| row["kind"] == "lead" && row["deliveries"][0]["state"] == "delivered").then_some(())
    })
    .await;
    assert_sound(&browser, screen, "missed leads");
    bridge.assert_audit();
}
