//! A person with a browser, who looks at the console and works in it.

use crate::driver::Session;
use crate::harness::Bridge;
use base64::Engine as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than anything a story waits for on a slow machine; only a story that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(45);

pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const SPACE: char = ' ';

/// The sizes that pages are looked at in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    Desk,
    Phone,
}

impl Screen {
    pub(crate) fn width(self) -> u32 {
        match self {
            Self::Desk => 1_280,
            Self::Phone => 360,
        }
    }

    fn height(self) -> u32 {
        match self {
            Self::Desk => 800,
            Self::Phone => 740,
        }
    }
}

pub(crate) struct Browser {
    session: Session,
    console: String,
}

impl Browser {
    /// At a desk, nowhere yet.
    pub(crate) fn open(bridge: &Bridge) -> Self {
        Self::open_on(Screen::Desk, bridge)
    }

    pub(crate) fn open_on(screen: Screen, bridge: &Bridge) -> Self {
        let browser = Self { session: Session::open(), console: bridge.console.clone() };
        browser.cdp("Network.enable", &json!({}));
        browser.cdp("Network.setCacheDisabled", &json!({"cacheDisabled": true}));
        browser.screen(screen);
        // The browser begins in a page of its own.
        browser.post("url", &json!({"url": "about:blank"}));
        browser.network();
        browser
    }

    pub(crate) fn screen(&self, screen: Screen) {
        let is_phone = screen == Screen::Phone;
        let (width, height) = (screen.width(), screen.height());
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics);
        self.cdp("Emulation.setTouchEmulationEnabled", &json!({"enabled": is_phone}));
    }

    /// What the system asks for, and pages follow.
    pub(crate) fn colours(&self, scheme: &str) {
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}));
    }

    /// No script of a page runs from now on.
    pub(crate) fn without_scripts(&self) {
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    }

    /// Opens a page of the console, and waits until it is loaded.
    pub(crate) fn go(&self, path: &str) {
        self.post("url", &json!({"url": format!("{}{path}", self.console)}));
    }

    /// Path and query of the page that is open.
    pub(crate) fn path(&self) -> String {
        let url = self.session.get("url").unwrap();
        url.as_str().unwrap().strip_prefix(&self.console).unwrap_or_else(|| panic!("the browser is at {url}")).to_owned()
    }

    /// The value of an expression of JavaScript, in the page.
    pub(crate) fn eval(&self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|why| panic!("{why}\nin {}", expression.chars().take(500).collect::<String>()))
    }

    fn try_eval(&self, expression: &str) -> Result<Value, String> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut told = self.session.post("goog/cdp/execute", &json!({"cmd": "Runtime.evaluate", "params": asked}))?;
        match told.get("exceptionDetails") {
            Some(fault) => Err(fault.to_string()),
            None => Ok(told["result"]["value"].take()),
        }
    }

    /// Waits until an expression holds. The page may change under it.
    #[expect(clippy::disallowed_methods, reason = "a story runs on a thread of its own")]
    pub(crate) fn until(&self, what: &str, expression: &str) {
        let start = Instant::now();
        while !self.try_eval(&format!("Boolean({expression})")).is_ok_and(|value| value == true) {
            assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for: {what}\nthe page says:\n{}", self.text("body"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a person reads there.
    pub(crate) fn text(&self, css: &str) -> String {
        let found = self.eval(&format!("document.querySelector({})?.innerText", json!(css)));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a person reads this anywhere on the page.
    pub(crate) fn until_says(&self, text: &str) {
        self.until(text, &format!("document.body?.innerText.includes({})", json!(text)));
    }

    pub(crate) fn assert_says(&self, texts: &[&str]) {
        let page = self.text("body");
        for text in texts {
            assert!(page.contains(text), "{}: {text:?} is not on the page:\n{page}", self.path());
        }
    }

    /// Clicks the button or link of this name, and waits for the page that it leads to.
    pub(crate) fn press(&self, name: &str) {
        self.press_at(&named(name));
    }

    /// The same for what an XPath finds.
    pub(crate) fn press_at(&self, xpath: &str) {
        self.eval("window.isLeft = true");
        self.touch_at(xpath);
        self.until("the next page", "window.isLeft === undefined && document.readyState === 'complete'");
    }

    /// Clicks what is of this name and leads nowhere.
    pub(crate) fn touch(&self, name: &str) {
        self.touch_at(&named(name));
    }

    /// Clicks as a mouse does: what is covered or out of reach cannot be clicked. A page that refreshes itself may replace what was found.
    pub(crate) fn touch_at(&self, xpath: &str) {
        let click = || self.session.post(&format!("element/{}/click", self.find("xpath", xpath)), &json!({}));
        let is_stale = |told: &Result<Value, String>| told.as_ref().is_err_and(|why| why.starts_with("stale element"));
        let told = std::iter::repeat_with(click).take(10).find(|told| !is_stale(told));
        told.expect("an element that stays").unwrap_or_else(|why| panic!("{xpath}: {why}"));
    }

    fn find(&self, using: &str, what: &str) -> String {
        let found = self.session.post("element", &json!({"using": using, "value": what}));
        let found = found.unwrap_or_else(|why| panic!("{what}: {why}\nthe page {} says:\n{}", self.path(), self.text("body")));
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    /// Types into a field, in place of what is there.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.find("css selector", css);
        self.post(&format!("element/{element}/clear"), &json!({}));
        self.post(&format!("element/{element}/value"), &json!({"text": text}));
    }

    /// Chooses from a list.
    pub(crate) fn choose(&self, css: &str, option: &str) {
        let list = self.find("css selector", css);
        self.post(&format!("element/{list}/value"), &json!({"text": option}));
        let chosen = self.eval(&format!("document.querySelector({}).selectedOptions[0].label", json!(css)));
        assert_eq!(chosen, option, "{css} has no {option:?}");
    }

    /// Strikes keys, wherever the focus is.
    pub(crate) fn keys(&self, keys: &str) {
        let strokes = |key: char| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}));
        let actions: Vec<Value> = keys.chars().flat_map(strokes).collect();
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// What the browser noted since it was last asked: `browser` is the console of pages, `performance` what went over the network.
    pub(crate) fn log(&self, kind: &str) -> Vec<Value> {
        self.post("se/log", &json!({"type": kind})).as_array().unwrap().clone()
    }

    /// Events of the DevTools protocol since it was last asked.
    pub(crate) fn network(&self) -> Vec<Value> {
        let entries = self.log("performance");
        let message =
            |entry: Value| serde_json::from_str::<Value>(entry["message"].as_str()?).ok().map(|mut value| value["message"].take());
        entries.into_iter().filter_map(message).collect()
    }

    /// Whether a page put up a dialog.
    pub(crate) fn has_dialog(&self) -> bool {
        self.session.get("alert/text").is_ok()
    }

    /// Closes the dialog that a page put up.
    pub(crate) fn dismiss(&self) {
        self.post("alert/dismiss", &json!({}));
    }

    pub(crate) fn console(&self) -> &str {
        &self.console
    }

    /// Everything of the page, also what is below the screen, into the folder of `LEADWIRE_TEST_SCREENSHOTS` if there is one.
    pub(crate) fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("LEADWIRE_TEST_SCREENSHOTS") else { return };
        let told = self.cdp("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        let picture = base64::engine::general_purpose::STANDARD.decode(told["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }

    pub(crate) fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        self.session.post(command, body).unwrap_or_else(|why| panic!("{command}: {why}"))
    }
}

/// The XPath of buttons, links and headings to be unfolded.
fn named(name: &str) -> String {
    format!("//*[self::a or self::button or self::summary][normalize-space()=\"{name}\"]")
}
