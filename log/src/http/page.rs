//! The page of a log, for people: `GET /`, and the files that it loads from `page/`.
//!
//! # Invariants
//!
//! - The page loads nothing from elsewhere, and runs no script that is not one of its files: the browser is told so.
//! - What the page shows comes from `/v1`, and what it says is verified it verified itself.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::answer::Failed;

/// A file of the page.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        File { name: $name, kind: $kind, bytes: include_bytes!(concat!("../../page/", $name)) }
    };
}

const INDEX: File = file!("index.html", HTML);

const FILES: [File; 12] = [
    file!("page.css", CSS),
    file!("icon.svg", "image/svg+xml"),
    file!("page.js", SCRIPT),
    file!("words.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("log.js", SCRIPT),
    file!("trust.js", SCRIPT),
    file!("verifier.js", SCRIPT),
    file!("charts.js", SCRIPT),
    file!("axis.js", SCRIPT),
    file!("lookup.js", SCRIPT),
    file!("verifier.wasm", "application/wasm"),
];

/// What the browser may do with the page. Scripts come from files alone, and WebAssembly may be compiled.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page at `base`, which ends with a slash: the path below which the log is.
pub(super) fn at<S: Clone + Send + Sync + 'static>(base: &str) -> Router<S> {
    let router = Router::new()
        .route(base, get(async || answer(&INDEX)))
        .route(&format!("{base}page/{{file}}"), get(file));
    let Some(bare) = base.strip_suffix('/').filter(|bare| !bare.is_empty()) else { return router };
    // Without the slash the names in the page would lead to the files of another log. The way there is relative, for
    // a server that is reached below another path.
    let to = format!("{}/", bare.trim_start_matches('/'));
    router.route(bare, get(async move || Redirect::temporary(&to)))
}

async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => answer(file),
        None => Failed::not_found("the page has no such file").into_response(),
    }
}

fn answer(file: &File) -> Response {
    let headers = [
        (header::CONTENT_TYPE, file.kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        // After an update the files of before would not fit.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, file.bytes).into_response()
}
