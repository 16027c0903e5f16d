//! What every answer of the console tells the browser: nothing from elsewhere, nothing inside other pages, nothing kept.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CROSS_ORIGIN_OPENER_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::DefaultHeaders;

/// No inline script and no inline style: what a lead's name says stays text even if a template forgets to escape it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// For a year, without saying anything of the names below this one: they may be somebody else's.
const ONLY_HTTPS: &str = "max-age=31536000";

/// A handler that sets one of them itself, as the assets do with the time they may be kept, is left its own.
pub(super) fn safe(is_tls: bool) -> DefaultHeaders {
    let fixed = [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
        (CACHE_CONTROL, "no-store"),
    ];
    let secure = is_tls.then_some((STRICT_TRANSPORT_SECURITY, ONLY_HTTPS));
    fixed.into_iter().chain(secure).fold(DefaultHeaders::new(), DefaultHeaders::add)
}
