//! Without JavaScript: pages and forms are whole; they are only as old as their last load.

use crate::browser::{Browser, Screen};
use crate::harness::Setup;
use crate::showroom::{OWNER, fixture, guarded, log_in, small};

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_forms_work_without_scripts() {
    let (bridge, _sink) = small(guarded(Setup::new())).await;
    bridge.until("delivered", 1).await;
    let browser = Browser::open(&bridge);
    browser.without_scripts();
    browser.go("/");
    log_in(&browser, OWNER);
    assert_eq!(browser.eval("typeof htmx"), "undefined", "scripts run after all");
    browser.assert_says(&["Came in", "crm"]);
    browser.press("Leads");
    browser.fill("#q", "ada");
    browser.press("Find");
    browser.press("Ada Garcia 1");
    browser.touch("Raw");
    browser.assert_says(&["What happened", "accepted by crm", "SerialNumber"]);
    browser.press("Destinations");
    browser.press("crm");
    browser.press("Ask the doctor");
    browser.assert_says(&["What the doctor found"]);
    browser.press("Try it");
    browser.press("a chat log");
    browser.press_at("//main//form//button[normalize-space()='Try it']");
    browser.assert_says(&["1. Verified", "conversation"]);
    let body = fixture("ai-agent-appointment");
    browser.fill("#body", &body);
    browser.press_at("//main//form//button[normalize-space()='Try it']");
    browser.assert_says(&["2. Normalised: appointment, David Garcia"]);
    crate::checks::assert_sound(&browser, Screen::Desk, "pages without scripts");
    browser.press("Log out");
    browser.assert_says(&["You are logged out."]);
}
