//! The checks find what they look for: each is shown a page that is wrong in that one way.

use crate::browser::{Browser, Screen};
use crate::checks::{assert_accessible, assert_legible, assert_sound, assert_targets, assert_tidy};
use crate::harness::{Setup, eventually};
use crate::showroom::small;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is done to the page, and which check must find it.
const WRONGS: [(&str, Check); 9] = [
    ("document.querySelector('main').append(document.createElement('input'))", assert_accessible),
    ("document.querySelector('h1').style.color = '#ddd'", assert_accessible),
    ("document.querySelector('h1').style.color = '#ddd'", assert_legible),
    ("document.querySelector('.button').style.minHeight = document.querySelector('.button').style.height = '20px'", assert_targets),
    ("document.querySelector('h1').style.width = '3000px'", on_a_desk),
    ("document.querySelector('h1').style.marginLeft = '-200px'", on_a_desk),
    ("console.error('something is wrong')", on_a_desk),
    ("window.pwned = 1", on_a_desk),
    ("document.querySelector('h1').innerText = 'there are 1 events in `here`'", assert_tidy),
];

type Check = fn(&Browser, &str);

fn on_a_desk(browser: &Browser, what: &str) {
    assert_sound(browser, Screen::Desk, what);
}

fn finds_it(check: Check, browser: &Browser, wrong: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| check(browser, wrong))).is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_finds_what_it_is_for() {
    let (bridge, _sink) = small(Setup::new()).await;
    let browser = Browser::open(&bridge);
    for (wrong, check) in WRONGS {
        browser.go("/try");
        check(&browser, "the page as it is");
        browser.eval(wrong);
        assert!(finds_it(check, &browser, wrong), "nobody minds {wrong}");
    }
    browser.go("/try");
    browser.eval("setTimeout(() => alert('a dialog'), 0)");
    eventually("the dialog", async || browser.has_dialog().then_some(())).await;
    assert!(finds_it(on_a_desk, &browser, "a dialog"), "nobody minds a dialog");
    browser.dismiss();
    // Our policy keeps a page from asking others; without it, that would be seen.
    browser.cdp("Page.setBypassCSP", &json!({"enabled": true}));
    browser.go("/try");
    on_a_desk(&browser, "the page as it is");
    browser.eval("new Promise(done => { const image = new Image(); image.onerror = done; image.src = 'http://example.com/pixel.png' }).then(() => 0)");
    assert!(finds_it(on_a_desk, &browser, "a pixel of others"), "nobody minds what is asked of others");
}
