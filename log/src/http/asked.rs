//! What a request asks for behind the question mark.
//!
//! # Invariant
//!
//! - A number has one spelling, so one resource has one address.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use duramen::LeafIndex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Failed;

/// A number as it is printed, and in no other form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Number(pub(super) u64);

impl TryFrom<String> for Number {
    type Error = <LeafIndex as FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(|LeafIndex(number)| Self(number))
    }
}

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
