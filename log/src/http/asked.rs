//! What a request asks for behind the question mark.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::Failed;

/// The query of a request. One that cannot be read is answered like every other error.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failed> {
        let Query(asked) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Failed::bad(format!("the query cannot be read: {error}")))?;
        Ok(Self(asked))
    }
}
