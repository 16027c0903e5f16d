//! Style sheets, scripts and the icon, from memory. Each name carries a hash of the content, so browsers may keep them for ever.

use super::Refusal;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

const ASSETS: [Asset; 6] = [
    Asset { name: "console.css", content_type: "text/css; charset=utf-8", content: include_bytes!("assets/console.css") },
    Asset { name: "uplot.min.css", content_type: "text/css; charset=utf-8", content: include_bytes!("assets/uplot.min.css") },
    Asset { name: "htmx.min.js", content_type: "text/javascript; charset=utf-8", content: include_bytes!("assets/htmx.min.js") },
    Asset { name: "uplot.min.js", content_type: "text/javascript; charset=utf-8", content: include_bytes!("assets/uplot.min.js") },
    Asset { name: "live.js", content_type: "text/javascript; charset=utf-8", content: include_bytes!("assets/live.js") },
    Asset { name: "icon.svg", content_type: "image/svg+xml", content: include_bytes!("assets/icon.svg") },
];

/// In the order of [`ASSETS`].
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(path_of).collect());

/// `/assets/console.0123456789abcdef.css`
fn path_of(asset: &Asset) -> String {
    let hash = hex::encode(&Sha256::digest(asset.content)[..8]);
    let (stem, extension) = asset.name.rsplit_once('.').unwrap_or((asset.name, ""));
    format!("/assets/{stem}.{hash}.{extension}")
}

/// Where an asset is; the first page for a name that there is not, which a test would find.
pub(super) fn path(name: &str) -> &'static str {
    ASSETS.iter().zip(PATHS.iter()).find(|(asset, _)| asset.name == name).map_or("/", |(_, path)| path)
}

/// Known to everyone: the login page needs them.
pub(super) async fn serve(name: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let path = format!("/assets/{name}");
    let (asset, _) = ASSETS.iter().zip(PATHS.iter()).find(|(_, known)| **known == path).ok_or_else(Refusal::not_found)?;
    let kept = (CACHE_CONTROL, "public, max-age=31536000, immutable");
    Ok(HttpResponse::Ok().content_type(asset.content_type).insert_header(kept).body(asset.content))
}
