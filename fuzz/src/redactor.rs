//! Secrets are taken out of text that others wrote, however they wrote them.
//!
//! The input is a secret and the text around it.

use super::parts;
use leadwire_connector::Redactor;

const SHORTEST: usize = 8;

pub fn check(data: &[u8]) {
    let [secret, before, after] = parts(data).map(String::from_utf8_lossy);
    let secret = secret.trim();
    // The mask itself would be found again.
    if secret.chars().count() < SHORTEST || secret.contains('•') {
        return;
    }
    let redactor = Redactor::new([secret]);
    let plain = format!("{before}{secret}{after}");
    assert!(!redactor.clean(&plain).contains(secret), "a secret is left in {plain:?}");
    let percent: String = plain.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert!(!redactor.clean(&percent).to_lowercase().contains(&hidden(secret)), "a secret is left in {percent:?}");
    let json = serde_json::to_string(&plain).unwrap();
    if let Ok(read) = serde_json::from_str::<String>(&redactor.clean(&json)) {
        assert!(!read.contains(secret), "a secret is left in {json}");
    }
    let escaped: String = plain.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    if let Ok(read) = serde_json::from_str::<String>(&format!("\"{}\"", redactor.clean(&escaped))) {
        assert!(!read.contains(secret), "a secret is left in {escaped}");
    }
    // A text without it stays as it is.
    if !before.contains(['\\', '%', '+']) && !before.contains(secret) {
        assert_eq!(redactor.clean(&before), before);
    }
}

fn hidden(secret: &str) -> String {
    secret.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
