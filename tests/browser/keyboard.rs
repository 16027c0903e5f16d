//! Hands on the keyboard alone.

use crate::browser::{Browser, ENTER, SPACE, TAB};
use crate::harness::Setup;
use crate::showroom::{OWNER, guarded, small};
use serde_json::Value;

/// What can take the focus, in the order of the page.
const REACHABLE: &str =
    "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex=\"0\"]')]
    .filter(found => found.checkVisibility() && !found.disabled).length";

/// The number of what has the focus in that order, -1 for nothing of it; and whether one sees it.
const FOCUSED: &str = "(() => {
    const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex=\"0\"]')]
        .filter(found => found.checkVisibility() && !found.disabled);
    const active = document.activeElement, style = getComputedStyle(active), box = active.getBoundingClientRect();
    const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
        && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    return [all.indexOf(active), seen, active.outerHTML.slice(0, 150)];
})()";

/// From the top of the page to its end, one stop at each thing, each seen.
fn walk(browser: &Browser, path: &str) {
    browser.go(path);
    // A page may begin in its field; the way starts at the top all the same.
    browser.eval(
        "document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')",
    );
    let count = browser.eval(REACHABLE).as_i64().unwrap();
    assert!(count > 5, "{path} has {count} places");
    let mut expected = 0;
    while expected < count {
        browser.keys(&TAB.to_string());
        let told = browser.eval(FOCUSED);
        let place = told[0].as_i64().unwrap();
        // Parts of one field, such as day and month of a date, are stops of their own.
        if place == expected - 1 && told[2].as_str().unwrap().contains("type=\"date\"") {
            continue;
        }
        assert_eq!(place, expected, "{path}: the order is another than the page's, at {told}");
        browser.until(&format!("the focus to be seen at {told}"), &format!("{FOCUSED}[1]"));
        expected += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_place_of_a_page_is_reached_in_its_order_and_is_seen() {
    let (bridge, _sink) = small(Setup::new()).await;
    let event = bridge.until("delivered", 1).await[0]["event"].as_str().unwrap().to_owned();
    let browser = Browser::open(&bridge);
    for path in ["/", "/leads?kind=lead", "/destinations", "/destinations/crm", "/try", &format!("/leads/{event}")] {
        walk(&browser, path);
    }
    assert_eq!(browser.eval("document.querySelectorAll('[tabindex]:not([tabindex=\"0\"]):not([tabindex=\"-1\"])').length"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_leads_past_the_navigation() {
    let (bridge, _sink) = small(Setup::new()).await;
    let browser = Browser::open(&bridge);
    browser.go("/destinations");
    browser.keys(&TAB.to_string());
    assert_eq!(browser.eval("document.activeElement.className"), "skip-link");
    browser.until("the link to come into sight", "document.activeElement.getBoundingClientRect().top >= 0");
    browser.picture("skip-link");
    browser.keys(&ENTER.to_string());
    assert_eq!(browser.eval("document.activeElement.id"), "main");
    browser.keys(&TAB.to_string());
    assert_eq!(browser.eval("document.activeElement.closest('main') !== null"), Value::Bool(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_put_on_hold_without_a_mouse() {
    let (bridge, _sink) = small(guarded(Setup::new())).await;
    let browser = Browser::open(&bridge);
    browser.go("/destinations/crm");
    browser.keys(&format!("{OWNER}{ENTER}"));
    browser.until("the page", "location.pathname === '/destinations/crm'");
    tab_to(&browser, "#reason");
    browser.keys(&format!("moving accounts{TAB}{TAB}{SPACE}"));
    browser.until_says("crm is on hold: its deliveries wait, and none is lost");
    tab_to(&browser, "form[action=\"/actions/resume\"] button");
    browser.keys(&ENTER.to_string());
    browser.until_says("crm is released");
    tab_to(&browser, ".nav li:nth-child(2) a");
    browser.keys(&ENTER.to_string());
    browser.until("the leads", "location.pathname === '/leads'");
    // One types at once what one looks for.
    browser.keys(&format!("ada{ENTER}"));
    browser.until("what was found", "location.search.includes('q=ada')");
    browser.assert_says(&["Ada Garcia 1"]);
}

fn tab_to(browser: &Browser, css: &str) {
    for _ in 0..60 {
        browser.keys(&TAB.to_string());
        if browser.eval(&format!("document.activeElement.matches({})", Value::from(css))) == true {
            return;
        }
    }
    panic!("no key leads to {css} on {}", browser.path());
}
