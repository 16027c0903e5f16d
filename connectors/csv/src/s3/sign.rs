//! Signature Version 4 for a single request with its whole body at hand
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).

use hmac::{Hmac, KeyInit, Mac};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::settings::Secret;
use sha2::{Digest, Sha256};

/// Who signs, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret,
    pub(crate) region: String,
}

/// What is signed.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// As it is sent, percent-encoded by [`encoded`].
    pub(crate) path: &'a str,
    /// Names in lower case, sorted; `host` and every `x-amz-…` among them.
    pub(crate) headers: &'a [(&'a str, String)],
    /// Of the body, in hexadecimal.
    pub(crate) body_hash: &'a str,
    pub(crate) at: Timestamp,
}

impl Signer {
    /// The value of `Authorization`.
    pub(crate) fn authorization(&self, request: &Signed<'_>) -> String {
        let Signed { method, path, headers, body_hash, at } = request;
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{body_hash}");
        let (day, scope) = (at.strftime("%Y%m%d").to_string(), self.scope(*at));
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", moment(*at), hash(canonical.as_bytes()));
        let start = format!("AWS4{}", self.secret_key.expose());
        let steps = [day.as_str(), &self.region, "s3", "aws4_request", &to_sign];
        let signature = steps.iter().fold(start.into_bytes(), |key, step| keyed(&key, step.as_bytes()));
        format!("AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={}", self.access_key, hex(&signature))
    }

    fn scope(&self, at: Timestamp) -> String {
        format!("{}/{}/s3/aws4_request", at.strftime("%Y%m%d"), self.region)
    }
}

/// The value of `x-amz-date`.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// SHA-256 in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path in which everything but unreserved characters and `/` is percent-encoded.
pub(crate) fn encoded(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// HMAC takes keys of any length; the empty answer cannot happen.
fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    hmac.update(text);
    hmac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    fn signer() -> Signer {
        Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: Secret::literal("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            region: "us-east-1".to_owned(),
        }
    }

    /// "Example: PUT Object" of the page named above.
    #[test]
    fn the_published_example_is_met() {
        let body_hash = hash(b"Welcome to Amazon S3.");
        assert_eq!(body_hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
        let at: Timestamp = "2013-05-24T00:00:00Z".parse().unwrap();
        let headers = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()),
            ("host", "examplebucket.s3.amazonaws.com".to_owned()),
            ("x-amz-content-sha256", body_hash.clone()),
            ("x-amz-date", moment(at)),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned()),
        ];
        let path = encoded("/test$file.text");
        assert_eq!(path, "/test%24file.text");
        let request = Signed { method: "PUT", path: &path, headers: &headers, body_hash: &body_hash, at };
        assert_eq!(
            signer().authorization(&request),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,\
             Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
    }

    #[test]
    fn a_path_keeps_its_slashes_only() {
        assert_eq!(encoded("/a b/ü+%/c~d-e_f.csv"), "/a%20b/%C3%BC%2B%25/c~d-e_f.csv");
    }
}
