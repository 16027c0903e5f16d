//! What is wrong with the settings of a `json` destination that serde cannot see.

use crate::config::Config;
use crate::rules;
use leadwire_connector::settings::Fault;
use std::io::Read;
use url::Url;

/// Headers that the connector or the connection itself needs.
const RESERVED: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-timestamp",
];

/// No template is longer, but a file named by mistake may be.
const TEMPLATE_MOST: u64 = 1 << 20;
/// A body that says anything at all has so many bytes.
const MAX_BYTES_LEAST: usize = 1_000;

/// Every fault that has nothing to do with what is compiled.
pub(crate) fn of(config: &Config) -> Vec<Fault> {
    let mut faults = url_faults(&config.url.url);
    faults.extend(header_faults(config));
    faults.extend(authorization_faults(config));
    faults.extend(config.success.faults());
    faults.extend(rules::rule_faults(&config.answers));
    faults.extend(body_faults(config));
    if config.ca_certificate.as_ref().is_some_and(|pem| !pem.expose().contains("-----BEGIN CERTIFICATE-----")) {
        let fault = Fault::new(["ca_certificate"], "this is not PEM (it begins with -----BEGIN CERTIFICATE-----)");
        faults.push(fault.with_help("write { file = \"/path\" }"));
    }
    faults
}

/// The text of `body_file`.
pub(crate) fn read_template(path: &str) -> Result<String, Vec<Fault>> {
    let told = |why: String| vec![Fault::new(["body_file"], format!("the template {path} cannot be read: {why}"))];
    let file = std::fs::File::open(path).map_err(|error| told(error.to_string()))?;
    let mut text = String::new();
    file.take(TEMPLATE_MOST + 1).read_to_string(&mut text).map_err(|error| told(error.to_string()))?;
    if text.len() as u64 > TEMPLATE_MOST { Err(told("it is longer than 1 MiB".to_owned())) } else { Ok(text) }
}

fn body_faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let is_own = config.body.is_some() || config.body_file.is_some();
    if config.body.is_some() && config.body_file.is_some() {
        faults.push(Fault::new(["body_file"], "there are two bodies").with_help("keep one of `body` and `body_file`"));
    }
    for (key, is_given) in [("envelope", config.envelope.is_some()), ("fields", !config.fields.is_empty())] {
        if is_own && is_given {
            let help = "take it out: `body` and `body_file` are the whole body";
            faults.push(Fault::new([key], "this does nothing beside a body of your own").with_help(help));
        }
    }
    if config.max_bytes.is_some_and(|most| most < MAX_BYTES_LEAST) {
        faults.push(Fault::new(["max_bytes"], format!("no body fits into fewer than {MAX_BYTES_LEAST} bytes")));
    }
    let is_type = |text: &String| text.contains('/') && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if config.content_type.as_ref().is_some_and(|text| !is_type(text)) {
        faults.push(Fault::new(["content_type"], "this is no content type").with_help("write one such as \"application/json\""));
    }
    faults
}

fn url_faults(url: &Url) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !matches!(url.scheme(), "http" | "https") {
        faults.push(
            Fault::new(["url"], format!("`{}` is not http or https", url.scheme())).with_help("write it as \"https://example.com/leads\""),
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        let fault = Fault::new(["url"], "the address holds credentials, which would get into logs");
        faults.push(fault.with_help("take them out, and write basic = { username = \"…\", password = { env = \"NAME\" } }"));
    }
    faults
}

fn header_faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut known = Vec::new();
    for (name, value) in &config.headers {
        let lower = name.to_ascii_lowercase();
        let fault = |message: &str| Fault::new(["headers", name], message);
        if RESERVED.contains(&lower.as_str()) || lower == "webhook-signature" {
            faults.push(fault("this header is set by the connector itself").with_help("take it out"));
        } else if !is_token(name) {
            faults.push(fault("this is not the name of a header").with_help("use letters, digits and `-`"));
        } else if known.contains(&lower) {
            faults.push(fault("this header is given twice").with_help("names of headers are the same in any case"));
        }
        if value.expose().contains(|c: char| c.is_control() && c != '\t') {
            faults.push(
                fault("the value has a line break or another control character")
                    .with_help("take it out, also from the file or the environment"),
            );
        }
        known.push(lower);
    }
    faults
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn authorization_faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Config { bearer, basic, oauth, headers, .. } = config;
    let in_headers = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    if [bearer.is_some(), basic.is_some(), oauth.is_some(), in_headers].into_iter().filter(|is_given| *is_given).count() > 1 {
        let key = [("bearer", bearer.is_some()), ("basic", basic.is_some())]
            .into_iter()
            .find(|(_, is_given)| *is_given)
            .map_or("oauth", |(key, _)| key);
        let fault = Fault::new([key], "there is more than one value for `Authorization`");
        faults.push(fault.with_help("keep one of `bearer`, `basic`, `oauth` and the header"));
    }
    if bearer.as_ref().is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
        let fault = Fault::new(["bearer"], "the token has a space, a line break or another character that no token has");
        faults.push(fault.with_help("copy it again, without `Bearer`"));
    }
    if basic.as_ref().is_some_and(|basic| basic.username.contains(|c: char| c == ':' || c.is_control())) {
        faults.push(Fault::new(["basic", "username"], "a user name has no colon and no control characters (RFC 7617)"));
    }
    faults
}
