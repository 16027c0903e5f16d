//! Pages that keep themselves fresh, also while a lot comes in.

use crate::browser::{Browser, Screen};
use crate::checks::assert_sound;
use crate::harness::{Bridge, Setup, eventually};
use crate::load::Load;
use crate::showroom::{lead_saying, small};
use leadwire_connector::simulator::Server;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lead_appears_on_an_open_page_and_what_was_opened_stays_open() {
    let (bridge, _sink) = small(Setup::new()).await;
    let browser = Browser::open(&bridge);
    browser.go("/leads");
    browser.assert_says(&["Ada Garcia 1"]);
    // A field with the focus is left alone, and this page begins in one; the list is a region of its own.
    browser.eval("window.loaded = 'once'");
    bridge.post(lead_saying(2, &json!({"FirstName": "Grace"}))).await;
    browser.until_says("Grace Garcia 2");
    browser.until_says("crm: delivered");
    assert_eq!(browser.eval("window.loaded"), "once", "the page was loaded again");
    assert_eq!(browser.eval("document.activeElement.id"), "q", "the focus is lost");
    assert_sound(&browser, Screen::Desk, "a page that was refreshed");
    let first = bridge.deliveries().pop().unwrap()["event"].as_str().unwrap().to_owned();
    browser.go(&format!("/leads/{first}"));
    browser.touch("Raw");
    browser.eval("window.loaded = 'once'");
    bridge.post(lead_saying(3, &json!({"FirstName": "Joan", "Email": "david1@example.com"}))).await;
    browser.until_says("Joan Garcia 3");
    assert_eq!(browser.eval("[document.getElementById('raw').open, window.loaded]"), json!([true, "once"]));
    // The focus of whoever goes by keys stays on what it was on, although that is new.
    browser.eval("window.before = document.querySelector('#raw > summary'); window.before.focus()");
    bridge.post(lead_saying(4, &json!({"FirstName": "Mary", "Email": "david1@example.com"}))).await;
    browser.until_says("Mary Garcia 4");
    browser.until(
        "the focus",
        "document.activeElement === document.querySelector('#raw > summary') && document.activeElement !== window.before",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_stay_fresh_and_obey_while_the_bridge_is_busy() {
    let (bridge, sink) = small(Setup::new()).await;
    let browser = Browser::open(&bridge);
    let next = Arc::new(AtomicU64::new(10));
    let load = Load::start(&bridge, &next);
    browser.go("/");
    let received = "Number(document.querySelector('.stat-value').innerText.replace(/\\D/g, ''))";
    let before = browser.eval(received).as_u64().unwrap();
    for screen in [Screen::Desk, Screen::Phone] {
        browser.screen(screen);
        for path in BUSY {
            let start = Instant::now();
            browser.go(path);
            let took = start.elapsed();
            assert!(took < Duration::from_secs(10), "{path} took {took:?} while the bridge is busy");
            assert_sound(&browser, screen, path);
        }
    }
    let reached = browser.eval(received).as_u64().unwrap();
    assert!(reached > before, "{before} events before, {reached} now");
    browser.until("the figure to rise by itself", &format!("{received} > {reached}"));
    hold_and_resume(&bridge, &browser, &sink).await;
    assert!(!load.end().await.is_empty());
    bridge.assert_audit();
}

/// The last shows the figure that rises.
const BUSY: [&str; 9] =
    ["/leads", "/leads?q=garcia", "/person", "/destinations", "/destinations/crm", "/sources/acme", "/actions", "/try", "/"];

/// While leads come in for it, on the phone of whoever was woken up.
async fn hold_and_resume(bridge: &Bridge, browser: &Browser, sink: &Server) {
    browser.go("/destinations/crm");
    browser.fill("#reason", "too much at once");
    browser.press("Hold");
    browser.assert_says(&["crm is on hold: its deliveries wait, and none is lost"]);
    bridge.until_held("crm").await;
    browser.press("Resume");
    browser.assert_says(&["crm is released"]);
    let before = sink.count();
    eventually("leads to go out again", async || (sink.count() > before).then_some(())).await;
}
