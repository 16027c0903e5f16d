//! How pages look and weigh, each of them: at a desk and on a phone, in the light and in the dark.

use crate::browser::{Browser, Screen};
use crate::checks::{assert_accessible, assert_legible, assert_sound, assert_targets, assert_tidy, weigh};
use crate::showroom::{Showroom, fixture};
use std::ops::RangeInclusive;

/// For a page with all it loads, when nothing is kept from before: scripts and styles are 51 kB of it.
const BYTES: RangeInclusive<u64> = 50_000..=80_000;

async fn every_page_is_fit_for(screen: Screen) {
    let room = Showroom::open().await;
    let browser = Browser::open(&room.bridge);
    browser.screen(screen);
    for (name, path) in room.pages() {
        let bytes = weigh(&browser, &path);
        assert!(BYTES.contains(&bytes), "{path} takes {bytes} bytes");
        look(&browser, screen, name);
    }
    browser.go("/try");
    browser.eval(&format!("document.getElementById('body').value = {}", serde_json::Value::from(fixture("ai-agent-lead"))));
    browser.press_at("//main//form//button[normalize-space()='Try it']");
    look(&browser, screen, "tried");
    browser.go("/destinations/hubspot");
    browser.press("Ask the doctor");
    look(&browser, screen, "doctor");
    browser.go(&format!("/leads/{}", room.event("lead")));
    browser.eval("document.querySelectorAll('details').forEach(found => found.open = true)");
    look(&browser, screen, "lead-unfolded");
}

fn look(browser: &Browser, screen: Screen, name: &str) {
    let what = format!("{name} ({}, {screen:?})", browser.path());
    browser.colours("dark");
    browser.picture(&format!("{name}-{screen:?}-dark"));
    assert_legible(browser, &format!("{what}, dark"));
    browser.colours("light");
    browser.picture(&format!("{name}-{screen:?}-light"));
    assert_accessible(browser, &what);
    assert_targets(browser, &what);
    assert_tidy(browser, &what);
    assert_sound(browser, screen, &what);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_fit_for_a_desk() {
    every_page_is_fit_for(Screen::Desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_fit_for_a_phone() {
    every_page_is_fit_for(Screen::Phone).await;
}
