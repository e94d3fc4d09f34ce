//! The log over HTTP: entries in, tiles and proofs out.
//!
//! [`Site`] has the logs of one process. [`public`] makes of it what everybody may reach, [`admin`] what operators may.
//! [`serve`] accepts connections until it is told to stop, and then drains them.
//!
//! # Invariants
//!
//! - What is published is at most the checkpoint that stands: no leaf is shown whose head was not verified and signed.
//!   An answer to `/add` is the exception: it names an index that is durable.
//! - A request ends with an answer or with its connection. It never changes half of what it asks for.

mod add;
mod admin;
mod answer;
mod asked;
mod body;
mod cache;
mod counted;
mod figures;
mod health;
mod history;
mod limits;
mod metrics;
mod mirror;
mod page;
mod read;
mod room;
mod server;
mod site;
mod state;
mod tail;
mod tls;
mod v1;
mod watch;
mod witness;

use std::sync::Arc;

pub use axum::Router;
use axum::routing::{get, post};
use tower_http::compression::CompressionLayer;

pub use admin::{Operator, admin};
pub use limits::Limits;
pub use mirror::{Shown, mirror, read_only};
pub use server::{Listener, serve};
pub use site::Site;
pub use tls::{Tls, TlsError};
pub use watch::Watch;
pub use witness::{Cosigning, witness};

/// What everybody may reach. Each log is under its name; the first one is at the root as well. How a path here begins is in
/// the list of [`Site::check_names`], so that no log has such a name.
pub fn public(site: &Arc<Site>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(Arc::clone(site));
    for (place, name) in site.names().enumerate() {
        let Some(one) = site.log(name) else { continue };
        let routes = of_log().with_state(Arc::clone(one));
        router = router.nest(&format!("/{name}"), routes.clone());
        router = router.merge(page::at(&format!("/{name}/")).layer(CompressionLayer::new()));
        if place == 0 {
            router = router.merge(routes);
            router = router.merge(page::at("/").layer(CompressionLayer::new()));
        }
    }
    let nothing = || async { answer::Failed::not_found("there is nothing here") };
    let not_so = || async {
        let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
        answer::Failed::new(status, "this is not done with that method")
    };
    router.fallback(nothing).method_not_allowed_fallback(not_so)
}

/// The routes of one log.
fn of_log() -> Router<Arc<site::Served>> {
    // Hashes do not get smaller. Entries and JSON do.
    let compressed = Router::new()
        .route("/tile/entries/{*path}", get(read::bundle))
        .route("/v1/head", get(v1::head))
        .route("/v1/proof", get(v1::proof))
        .route("/v1/consistency", get(v1::consistency))
        .route("/v1/entry", get(v1::entry))
        .route("/v1/find", get(v1::find))
        .route("/v1/state", get(state::state))
        .route("/v1/history", get(state::history))
        .layer(CompressionLayer::new());
    Router::new()
        .route("/checkpoint", get(read::checkpoint))
        .route("/tile/{*path}", get(read::tile))
        .route("/add", post(add::one))
        .route("/add-batch", post(add::many))
        .route("/v1/tail", get(tail::events))
        .merge(compressed)
}
