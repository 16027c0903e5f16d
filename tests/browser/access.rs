//! In and out, with a browser that keeps cookies and shows what it is told.

use crate::browser::{Browser, Screen};
use crate::checks::{assert_accessible, assert_sound, assert_targets};
use crate::harness::Setup;
use crate::showroom::{BEN, OWNER, guarded, log_in, small};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_token_gets_where_they_wanted_and_out_again() {
    let (bridge, _sink) = small(guarded(Setup::new())).await;
    let browser = Browser::open(&bridge);
    browser.go("/leads?q=ada");
    assert_eq!(browser.path(), "/login?back=%2Fleads%3Fq%3Dada");
    assert_eq!(browser.eval("document.activeElement.id"), "token");
    for screen in [Screen::Desk, Screen::Phone] {
        browser.screen(screen);
        assert_sound(&browser, screen, "the way in");
        browser.picture(&format!("login-{screen:?}"));
    }
    assert_targets(&browser, "the way in");
    browser.screen(Screen::Desk);
    assert_accessible(&browser, "the way in");
    log_in(&browser, "owner-that-nobody-knows");
    browser.assert_says(&["That token is not known"]);
    assert_eq!(browser.eval("document.getElementById('token').getAttribute('aria-invalid')"), "true");
    assert_eq!(browser.eval("document.getElementById('token').value"), "", "what was typed is not sent back");
    assert_accessible(&browser, "a wrong token");
    browser.picture("login-wrong");
    log_in(&browser, OWNER);
    assert_eq!(browser.path(), "/leads?q=ada");
    browser.assert_says(&["operator", "Log out"]);
    // No script can read the session.
    assert_eq!(browser.eval("document.cookie"), "");
    browser.press("Log out");
    browser.assert_says(&["You are logged out."]);
    browser.eval("history.back()");
    browser.go("/leads");
    assert_eq!(browser.path(), "/login?back=%2Fleads");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_is_offered_nothing_to_do_and_no_personal_data() {
    let mut setup = guarded(Setup::new());
    setup.replace("[console]\n", "[console]\nmask_personal_data = true\n");
    let (bridge, _sink) = small(setup).await;
    bridge.until("delivered", 1).await;
    let event = bridge.deliveries()[0]["event"].as_str().unwrap().to_owned();
    let browser = Browser::open(&bridge);
    browser.go("/");
    log_in(&browser, BEN);
    browser.assert_says(&["ben", "(read only)"]);
    let lead = format!("/leads/{event}");
    for path in ["/", "/leads", "/destinations", "/destinations/crm", &lead] {
        browser.go(path);
        assert_eq!(browser.eval("document.querySelectorAll('form[action^=\"/actions/\"], form[action$=\"/doctor\"]').length"), 0, "{path}");
        let page = browser.eval("document.documentElement.outerHTML");
        assert!(!page.as_str().unwrap().contains("david1@example.com"), "{path} tells who it is");
        assert_accessible(&browser, path);
        assert_sound(&browser, Screen::Desk, path);
    }
    browser.picture("lead-masked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_leads_back_to_the_way_in_also_from_a_page_that_lies_open() {
    let mut setup = guarded(Setup::new());
    setup.replace("[console]\n", "[console]\nsession_lifetime = \"4s\"\n");
    let (bridge, _sink) = small(setup).await;
    let browser = Browser::open(&bridge);
    browser.go("/");
    log_in(&browser, OWNER);
    browser.until_says("Came in");
    // Nobody touches anything: what the page asks by itself keeps no session.
    browser.until("the way in", "location.pathname === '/login'");
    assert_eq!(browser.eval("document.querySelectorAll('#token').length"), 1, "the way in is a page, not a part of one");
    log_in(&browser, OWNER);
    browser.until_says("Came in");
    assert_eq!(browser.eval("window.pwned ?? null"), Value::Null);
}
