//! What must hold for every page, whatever it shows.

use crate::browser::{Browser, Screen};
use serde_json::Value;

/// From elsewhere, unchanged; see LICENSES.txt.
const AXE: &str = include_str!("axe.min.js");

/// The rules of WCAG 2.2 to level AA, and what is good practice besides. The target size of 2.5.8 has to be asked for.
const RUN_AXE: &str = "axe.run(document, {
    runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']},
    rules: {'target-size': {enabled: true}},
    resultTypes: ['violations'],
}).then(found => found.violations.map(rule => ({
    rule: rule.id, impact: rule.impact, help: rule.help,
    where: rule.nodes.slice(0, 5).map(node => node.target.join(' ') + ' ' + node.html.slice(0, 200) + ' ' + node.failureSummary),
})))";

/// What differs between the light and the dark.
const RUN_AXE_ON_COLOURS: &str = "axe.run(document, {runOnly: {type: 'rule', values: ['color-contrast']}, resultTypes: ['violations']})
    .then(found => found.violations.flatMap(rule => rule.nodes.map(node => node.html.slice(0, 200) + ' ' + node.failureSummary)))";

/// Badges that break, addresses to be copied that are cut, signs of our own markup, and one of what is named as many.
const UNTIDY: &str = "(() => {
    const shown = [...document.querySelectorAll('main *')].filter(found => found.checkVisibility());
    const broken = shown.filter(found => found.matches('.badge') && found.clientHeight > 1.9 * parseFloat(getComputedStyle(found).lineHeight));
    const cut = shown.filter(found => found.matches('[readonly]')
        && (found.scrollWidth > found.clientWidth || found.scrollHeight > found.clientHeight + 1));
    const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    const untidy = [];
    while (texts.nextNode()) {
        const around = texts.currentNode.parentElement;
        if (around.closest('code, pre, textarea, script')) continue;
        if (texts.currentNode.data.includes('`')) untidy.push(around.outerHTML);
    }
    const many = document.querySelector('main').innerText
        .match(/(?<!\\S)1\\s(events|deliveries|requests|bodies|messages|duplicates|dead letters|causes|attempts)\\b/g) ?? [];
    return [...[...broken, ...cut].map(found => found.outerHTML), ...untidy, ...many].slice(0, 5).map(found => found.slice(0, 200));
})()";

/// Buttons, fields and the links of the navigation that a thumb may miss: lower than 44 CSS pixels, or narrower. A box to tick counts with
/// its label. A link in a text is as high as its line; axe looks at the space around those.
const SMALL_TARGETS: &str = "[...document.querySelectorAll('button, a.button, nav a, input:not([type=hidden]), select, textarea, summary')]
    .map(found => found.closest('label') ?? found)
    .filter(found => found.checkVisibility())
    .map(found => ({box: found.getBoundingClientRect(), html: found.outerHTML.slice(0, 200)}))
    .filter(({box}) => box.width < 43.5 || box.height < 43.5)
    .map(({box, html}) => `${Math.round(box.width)} by ${Math.round(box.height)}: ${html}`)";

/// What reaches past the right or left edge of the screen and is not in a box that scrolls by itself.
const BEYOND: &str = "[...document.querySelectorAll('body *')].filter(found => {
    const box = found.getBoundingClientRect();
    if (box.width <= 1 || box.height <= 1 || (box.right <= WIDTH + 1 && box.left >= -1)) return false;
    for (let around = found.parentElement; around; around = around.parentElement) {
        if (getComputedStyle(around).overflowX !== 'visible') return false;
    }
    return true;
}).slice(0, 5).map(found => found.outerHTML.slice(0, 200))";

/// Every page: nothing ran that we did not write, nothing was refused by the policy, nobody else was asked, nothing sticks out.
pub(crate) fn assert_sound(browser: &Browser, screen: Screen, what: &str) {
    assert!(!browser.has_dialog(), "{what}: a dialog is open");
    assert_eq!(browser.eval("window.pwned ?? null"), Value::Null, "{what}: a script of a stranger ran");
    assert_fits(browser, screen, what);
    assert_quiet(browser, what);
    assert_asks_nobody_else(browser, what);
}

fn assert_fits(browser: &Browser, screen: Screen, what: &str) {
    let width = screen.width();
    let beyond = browser.eval(&BEYOND.replace("WIDTH", &width.to_string()));
    let total = browser.eval("document.documentElement.scrollWidth");
    assert!(total.as_u64().unwrap() <= u64::from(width), "{what}: {total} pixels wide on {width}; what sticks out: {beyond:#}");
    assert_eq!(beyond, Value::Array(Vec::new()), "{what}: this is cut off at {width} pixels");
}

/// Answers that are no success are noted too, and are for the stories to judge.
fn assert_quiet(browser: &Browser, what: &str) {
    let said = browser.log("browser");
    let loud: Vec<&Value> = said.iter().filter(|entry| entry["source"] != "network" && entry["level"] != "DEBUG").collect();
    assert!(loud.is_empty(), "{what}: the browser says {loud:#?}");
}

fn assert_asks_nobody_else(browser: &Browser, what: &str) {
    let asked = browser.network().into_iter().filter(|event| event["method"] == "Network.requestWillBeSent");
    for event in asked {
        let url = event["params"]["request"]["url"].as_str().unwrap().to_owned();
        let is_ours = url.strip_prefix(browser.console()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        assert!(is_ours || url.starts_with("data:") || url == "about:blank", "{what}: the page asks {url}");
    }
}

/// What makes a page look as if nobody had looked at it. Strangers write what they like; it is for pages of tame content.
pub(crate) fn assert_tidy(browser: &Browser, what: &str) {
    assert_eq!(browser.eval(UNTIDY), Value::Array(Vec::new()), "{what} is untidy");
}

/// What a screen reader, and eyes of all kinds, need.
pub(crate) fn assert_accessible(browser: &Browser, what: &str) {
    assert_axe_finds_nothing(browser, RUN_AXE, what);
}

/// The part of it that other colours could change.
pub(crate) fn assert_legible(browser: &Browser, what: &str) {
    assert_axe_finds_nothing(browser, RUN_AXE_ON_COLOURS, what);
}

fn assert_axe_finds_nothing(browser: &Browser, run: &str, what: &str) {
    if browser.eval("typeof axe") != "object" {
        browser.eval(&format!("{AXE};0"));
    }
    let found = browser.eval(run);
    assert_eq!(found, Value::Array(Vec::new()), "{what}: {found:#}");
}

pub(crate) fn assert_targets(browser: &Browser, what: &str) {
    let found = browser.eval(SMALL_TARGETS);
    assert_eq!(found, Value::Array(Vec::new()), "{what}: too small for a thumb");
}

/// Bytes over the wire for a page and all it loads, with nothing kept from before.
pub(crate) fn weigh(browser: &Browser, path: &str) -> u64 {
    browser.network();
    browser.go(path);
    let loaded = browser.network().into_iter().filter(|event| event["method"] == "Network.loadingFinished");
    loaded.map(|event| event["params"]["encodedDataLength"].as_f64().unwrap_or_default().ceil()).sum::<f64>() as u64
}
