//! The listener without TLS beside one that has it: sends everybody to https, and answers an authority that asks whose name this is (ACME,
//! RFC 8555, 8.3).

use super::answer::Answer;
use crate::door::{self, Tls};
use crate::swap::Swap;
use actix_server::Server;
use actix_web::http::header::{ContentType, HOST, LOCATION};
use actix_web::http::uri::Authority;
use actix_web::{App, HttpRequest, HttpResponse, Responder as _, web};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use url::Url;

/// Everybody has but one question here.
const LIMITS: door::Limits = door::Limits { workers: 1, connections: 256, head: Duration::from_secs(10), shutdown: Duration::from_secs(1) };
/// Where answers to challenges are (RFC 8555, 8.3), in the folder as at the listener.
const CHALLENGES: &str = ".well-known/acme-challenge";
/// An answer to a challenge is a token, a dot, and a hash.
const LONGEST_ANSWER: u64 = 4_096;
/// Of a token; authorities take 43 characters.
const LONGEST_TOKEN: usize = 128;

/// Where to send whom.
#[derive(Debug)]
pub struct Plain {
    /// How the listener with TLS is reached from outside.
    pub public_url: Option<Url>,
    /// Its port.
    pub port: u16,
    /// Says for which names it is.
    pub tls: Arc<Tls>,
    /// The folder in which programs for ACME put `.well-known/acme-challenge/TOKEN`.
    pub challenges: Option<PathBuf>,
}

/// Starts to listen; each request is answered by the settings of its beginning. The returned server runs when it is awaited.
///
/// # Errors
/// When the socket cannot be used.
pub fn listen_plain(plain: Arc<Swap<Plain>>, listener: TcpListener) -> std::io::Result<Server> {
    let plain = web::Data::from(plain);
    door::serve(listener, None, &LIMITS, move || {
        App::new()
            .app_data(web::Data::clone(&plain))
            .service(web::resource(format!("/{CHALLENGES}/{{token}}")).route(web::get().to(challenge)))
            .default_service(web::to(redirect))
    })
}

async fn challenge(request: HttpRequest, token: web::Path<String>, plain: web::Data<Swap<Plain>>) -> HttpResponse {
    let folder = plain.now().challenges.clone().filter(|_| is_token(&token));
    match folder {
        Some(folder) => match read(folder.join(CHALLENGES).join(token.as_str())).await {
            Some(answer) => HttpResponse::Ok().content_type(ContentType::octet_stream()).body(answer),
            None => Answer::NotFound.respond_to(&request),
        },
        None => Answer::NotFound.respond_to(&request),
    }
}

/// Base64 for URLs (RFC 8555, 8.3): with neither dots nor slashes, so that it leads nowhere else.
fn is_token(text: &str) -> bool {
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Of a file in the folder itself: whoever may write there might link to what they may not read.
async fn read(path: PathBuf) -> Option<Vec<u8>> {
    if !tokio::fs::symlink_metadata(&path).await.ok()?.is_file() {
        return None;
    }
    let mut answer = Vec::new();
    tokio::fs::File::open(&path).await.ok()?.take(LONGEST_ANSWER).read_to_end(&mut answer).await.ok()?;
    Some(answer)
}

async fn redirect(request: HttpRequest, plain: web::Data<Swap<Plain>>) -> HttpResponse {
    let plain = plain.now();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let Some(base) = plain.base(&request).filter(|_| target.starts_with('/')) else { return Answer::Misdirected.respond_to(&request) };
    let mut response = Answer::UseHttps.respond_to(&request);
    if let Ok(location) = format!("{base}{target}").parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

impl Plain {
    /// The public URL; else the host that the request names, if the certificate is for it. So nobody is sent to where the sender of a
    /// request says, but only to where this bridge is.
    fn base(&self, request: &HttpRequest) -> Option<String> {
        if let Some(url) = self.public_url.as_ref().filter(|url| url.scheme() == "https") {
            return Some(url.as_str().trim_end_matches('/').to_owned());
        }
        let mut hosts = request.headers().get_all(HOST);
        let authority: Authority = hosts.next().filter(|_| hosts.next().is_none())?.to_str().ok()?.parse().ok()?;
        let host = Some(authority.host()).filter(|host| !authority.as_str().contains('@') && self.tls.certificate().is_for(host))?;
        Some(if self.port == 443 { format!("https://{host}") } else { format!("https://{host}:{}", self.port) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_names_a_file() {
        assert!(is_token("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"));
        for text in ["", ".", "..", "a/b", "a.b", "../etc/passwd", "%2e%2e", "a\0b", "ä", &"a".repeat(129)] {
            assert!(!is_token(text), "{text:?}");
        }
    }
}
