//! What strangers write stays text: senders, visitors of chats, CRMs, and whoever makes links.

use crate::browser::{Browser, Screen};
use crate::checks::{assert_accessible, assert_sound};
use crate::harness::{Bridge, Setup, eventually};
use crate::showroom::lead_saying;
use serde_json::json;

const SCRIPT: &str = "<script>window.pwned=1</script>";
const HANDLER: &str = "\"'><img src=x onerror=\"window.pwned=2\"><svg/onload=window.pwned=3>";
const LINK: &str = "javascript:window.pwned=4";
/// From right to left, overridden, invisible, and marks piled up on a letter.
const ODD_TEXT: &str =
    "שלום עולם \u{202e}gpj.exe\u{202c} مرحبا\u{200b}\u{200d}\u{feff}\u{2066} Z\u{310}\u{36b}\u{343}\u{342}\u{356}\u{33b}algo";

async fn bridge_among_strangers() -> Bridge {
    let program = format!("{}/tests/browser/connector.py", env!("CARGO_MANIFEST_DIR"));
    let bridge = Setup::new()
        .with(&format!("[destinations.odd]\ntype = \"process\"\ncommand = [\"python3\", \"{program}\"]\n[[routes]]\nto = [\"odd\"]"))
        .start();
    let hostile = json!({
        "FirstName": SCRIPT, "LastName": HANDLER, "Content": format!("{SCRIPT}{HANDLER}{ODD_TEXT}"), "URI": LINK, "PhoneNumber": HANDLER,
        "SessionID": SCRIPT, SCRIPT: HANDLER, "onclick=window.pwned=5": {"a": [SCRIPT]}
    });
    let long = json!({"FirstName": "W".repeat(3_000), "LastName": ODD_TEXT, "Email": format!("{}@example.com", "a".repeat(60))});
    let remarks = json!({"FirstName": "Remarkable", "Content": "W".repeat(1 << 20)});
    let words = json!({"FirstName": "Talkative", "Content": "so many words \n".repeat(70_000)});
    let odd = json!({"FirstName": ODD_TEXT, "LastName": "\u{200b}", "Content": ODD_TEXT});
    for (n, fields) in (1..).zip([&hostile, &long, &remarks, &words, &odd, &hostile]) {
        bridge.post(lead_saying(n, fields)).await;
    }
    let message = |author: &str, text: &str| json!({"Type": author, "Content": text});
    let messages = [message("User", SCRIPT), message("AI", HANDLER), message("User", ODD_TEXT), message("User", &"W".repeat(20_000))];
    let chat = json!({"Collection": [{"SerialNumber": HANDLER, "Name": SCRIPT, "Conversations": [
        {"SessionID": 7, "CreateTime": "2026-11-21T16:22:42Z", "URI": LINK, "Messages": messages}
    ]}]});
    bridge.post(chat.to_string()).await;
    bridge.post_to("acme", SCRIPT.repeat(100), &[("X-Webhook-Signature", SCRIPT)]).await.unwrap();
    eventually("all to have ended", async || bridge.is_quiet().await.then_some(())).await;
    bridge
}

fn events(bridge: &Bridge) -> Vec<String> {
    let rows = bridge.json(&["events", "list", "--limit", "100"]);
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_strangers_write_runs_or_breaks_a_page() {
    let bridge = bridge_among_strangers().await;
    let browser = Browser::open(&bridge);
    let search = format!("/leads?q={SCRIPT}{HANDLER}&source={SCRIPT}&since={HANDLER}").replace('#', "%23");
    let odd_paths = [search, format!("/destinations/{SCRIPT}"), format!("/{HANDLER}"), format!("/leads?q={}", "W".repeat(500))];
    let cause = bridge.json(&["deliveries", "list", "--by-cause"])[0]["cause"].as_str().unwrap().replace('/', "%2F");
    let pages =
        ["/", "/leads", "/destinations", "/destinations/odd", "/person", "/person/quarantine", "/sources", "/sources/acme", "/actions"];
    let ids = [
        format!("/person/dead?destination=odd&cause={cause}"),
        format!("/person/quarantine/{}", bridge.json(&["quarantine", "list"])[0]["id"]),
    ];
    let pages = pages.map(str::to_owned).into_iter().chain(ids);
    let leads = events(&bridge).into_iter().map(|id| format!("/leads/{id}"));
    for (n, path) in pages.chain(odd_paths).chain(leads).enumerate() {
        for screen in [Screen::Desk, Screen::Phone] {
            browser.screen(screen);
            browser.go(&path);
            browser.eval("document.querySelectorAll('details').forEach(found => found.open = true)");
            browser.picture(&format!("hostile-{n}-{screen:?}"));
            assert_sound(&browser, screen, &path);
        }
        assert_eq!(browser.eval(STRANGE), json!([]), "{path} holds what we did not write");
        // Every letter of a megabyte is looked at.
        if browser.eval("document.body.innerText.length < 100000") == true {
            assert_accessible(&browser, &path);
        }
    }
}

/// Elements that no template of ours makes, and links that run something.
const STRANGE: &str =
    "[...document.querySelectorAll('main script, main img, main svg, iframe, object, embed, [onerror], [onload], [onclick], a')]
    .filter(found => found.tagName !== 'A' || !['http:', 'https:'].includes(found.protocol))
    .map(found => found.outerHTML.slice(0, 200))";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_tries_and_what_a_crm_finds_is_text_too() {
    let bridge = bridge_among_strangers().await;
    let browser = Browser::open(&bridge);
    browser.go("/try");
    let payload = lead_saying(1, &json!({"FirstName": SCRIPT, "LastName": HANDLER, "Content": ODD_TEXT, "URI": LINK}));
    browser.eval(&format!("document.getElementById('body').value = {}", json!(payload)));
    browser.eval(&format!("document.getElementById('header').value = {}", json!(HANDLER)));
    browser.press_at("//main//form//button[normalize-space()='Try it']");
    browser.assert_says(&["1. Verified", "4. To odd"]);
    browser.eval("document.querySelectorAll('details').forEach(found => found.open = true)");
    assert_sound(&browser, Screen::Desk, "a hostile trial");
    assert_eq!(browser.eval(STRANGE), json!([]));
    assert_accessible(&browser, "a hostile trial");
    browser.go("/destinations/odd");
    browser.press("Ask the doctor");
    browser.assert_says(&["What the doctor found", SCRIPT]);
    assert_sound(&browser, Screen::Desk, "a hostile report");
    assert_eq!(browser.eval(STRANGE), json!([]));
    // A link that somebody made, with a notice of their own.
    browser.eval("document.cookie = 'leadwire_notice=+PHNjcmlwdD53aW5kb3cucHduZWQ9OTwvc2NyaXB0Pg; path=/'");
    browser.go("/");
    browser.assert_says(&["<script>window.pwned=9</script>"]);
    assert_sound(&browser, Screen::Desk, "a forged notice");
}
