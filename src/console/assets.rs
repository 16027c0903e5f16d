//! Style sheets, scripts and the icon, from memory. Each name carries a hash of the content, so browsers may keep them for ever.

use super::Refusal;
use actix_web::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, VARY};
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::read::GzEncoder;
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

const ASSETS: [Asset; 7] = [
    Asset { name: "console.css", content_type: "text/css; charset=utf-8", content: include_bytes!("assets/console.css") },
    Asset { name: "uplot.min.css", content_type: "text/css; charset=utf-8", content: include_bytes!("assets/uplot.min.css") },
    Asset { name: "htmx.min.js", content_type: "text/javascript; charset=utf-8", content: include_bytes!("assets/htmx.min.js") },
    Asset { name: "uplot.min.js", content_type: "text/javascript; charset=utf-8", content: include_bytes!("assets/uplot.min.js") },
    Asset { name: "live.js", content_type: "text/javascript; charset=utf-8", content: include_bytes!("assets/live.js") },
    Asset { name: "plots.js", content_type: "text/javascript; charset=utf-8", content: include_bytes!("assets/plots.js") },
    Asset { name: "icon.svg", content_type: "image/svg+xml", content: include_bytes!("assets/icon.svg") },
];

/// An asset as it is served.
struct Served {
    asset: &'static Asset,
    /// `/assets/console.0123456789abcdef.css`
    path: String,
    gzip: Vec<u8>,
}

static SERVED: LazyLock<Vec<Served>> = LazyLock::new(|| ASSETS.iter().map(prepare).collect());

fn prepare(asset: &'static Asset) -> Served {
    let hash = hex::encode(&Sha256::digest(asset.content)[..8]);
    let (stem, extension) = asset.name.rsplit_once('.').unwrap_or((asset.name, ""));
    let mut gzip = Vec::new();
    // Into memory, which does not fail.
    let _ = GzEncoder::new(asset.content, Compression::best()).read_to_end(&mut gzip);
    Served { asset, path: format!("/assets/{stem}.{hash}.{extension}"), gzip }
}

/// Where an asset is; the first page for a name that there is not, which a test would find.
pub(super) fn path(name: &str) -> &'static str {
    SERVED.iter().find(|served| served.asset.name == name).map_or("/", |served| &served.path)
}

/// Known to everyone: the login page needs them.
pub(super) async fn serve(request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let served = SERVED.iter().find(|served| served.path == request.path()).ok_or_else(Refusal::not_found)?;
    let accepted = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = HttpResponse::Ok();
    response.content_type(served.asset.content_type).insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"));
    response.insert_header((VARY, "accept-encoding"));
    if accepted.split(',').any(|coding| coding.trim() == "gzip") {
        return Ok(response.insert_header((CONTENT_ENCODING, "gzip")).body(served.gzip.as_slice()));
    }
    Ok(response.body(served.asset.content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_that_a_template_names_is_there() {
        let base = include_str!("templates/base.html");
        let names: Vec<&str> = base.split("asset(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.len() >= 5);
        for name in names {
            assert!(path(name).starts_with("/assets/"), "{name}");
        }
    }
}
