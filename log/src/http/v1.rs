//! What the log knows, as JSON: heads, proofs, entries, and where a leaf is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use duramen::tlog::TlogProof;
use duramen::tlog::cose::{ConsistencyReceipt, CoseError, InclusionReceipt};
use duramen::{Hash, Hasher, LeafIndex, Rfc6962Sha256, TreeSize};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Failed;
use super::asked::{Asked, Number};
use super::site::Served;
use crate::published::Published;

type Answer = Result<Json<Value>, Failed>;

/// `GET /v1/head`.
pub(super) async fn head(State(served): State<Arc<Served>>) -> Answer {
    let published = served.published()?;
    let head = published.head();
    Ok(Json(json!({
        "origin": served.log.origin(),
        "size": head.size.get(),
        "root": const_hex::encode(head.root),
        "checkpoint": text(&published),
    })))
}

/// `GET /v1/proof?index=N` or `?leaf=HEX`, with `&size=M` for an older tree and `&format=tlog-proof` or `cose-receipt` for
/// one that is signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofOf {
    index: Option<Number>,
    leaf: Option<String>,
    size: Option<Number>,
    format: Option<ProofFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ProofFormat {
    Json,
    TlogProof,
    CoseReceipt,
}

/// Proves that a leaf is in the log.
pub(super) async fn proof(
    State(served): State<Arc<Served>>,
    Asked(asked): Asked<ProofOf>,
) -> Result<Response, Failed> {
    served.blocking(move |served| prove(served, &asked)).await
}

fn prove(served: &Served, asked: &ProofOf) -> Result<Response, Failed> {
    let published = served.published()?;
    let index = match (asked.index, &asked.leaf) {
        (Some(Number(index)), None) => index,
        (None, Some(leaf)) => found(&published, &leaf_of(leaf)?)?,
        _ => return Err(Failed::bad("give either index or leaf")),
    };
    let format = asked.format.unwrap_or(ProofFormat::Json);
    if format != ProofFormat::Json && asked.size.is_some() {
        return Err(Failed::bad("what is signed is of the checkpoint; leave out size"));
    }
    match format {
        ProofFormat::TlogProof => return tlog_proof(served, index),
        ProofFormat::CoseReceipt => return receipt(served, index),
        ProofFormat::Json => {}
    }
    served.must_be_published(index)?;
    let current = published.head().size.get();
    let size = asked.size.map_or(current, |Number(size)| size);
    within(size, current)?;
    let snapshot = published.snapshot();
    let (head, proof) = (snapshot.head_at(size)?, snapshot.prove_at(index, size)?);
    served.counted.proofs.add(1);
    let answer = json!({
        "kind": "inclusion",
        "hasher": "rfc6962-sha256",
        "arity": 2,
        "size": size,
        "root": const_hex::encode(head.root),
        "index": index,
        "leaf": const_hex::encode(snapshot.leaf(index)?),
        "siblings": hex(proof.siblings()),
    });
    Ok(Json(answer).into_response())
}

/// The proof of the leaf `index` for the checkpoint that stands, as text.
pub(super) fn tlog_proof(served: &Served, index: u64) -> Result<Response, Failed> {
    served.must_be_published(index)?;
    let published = served.published()?;
    let proof = published.snapshot().prove_at(index, published.head().size)?;
    let checkpoint = published.signed().clone();
    let proof = TlogProof { extra: None, index: index.into(), proof, checkpoint };
    served.counted.proofs.add(1);
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, proof.to_string()).into_response())
}

/// The COSE receipt of the leaf `index` for the checkpoint that stands.
fn receipt(served: &Served, index: u64) -> Result<Response, Failed> {
    served.must_be_published(index)?;
    let published = served.published()?;
    let proof = published.snapshot().prove_at(index, published.head().size)?;
    let (signer, key_id) = served.log.receipts().ok_or_else(no_receipts)?;
    let (checkpoint, index) = (published.checkpoint(), LeafIndex(index));
    let receipt = InclusionReceipt::sign(signer, Some(key_id), checkpoint, index, proof);
    Ok(cose(served, receipt.map_err(no_receipt)?.as_bytes()))
}

fn cose(served: &Served, receipt: &[u8]) -> Response {
    served.counted.proofs.add(1);
    let kind = (header::CONTENT_TYPE, "application/cose; cose-type=\"cose-sign1\"");
    ([kind], receipt.to_vec()).into_response()
}

fn no_receipts() -> Failed {
    Failed::not_found("the log gives no receipts")
}

fn no_receipt(error: CoseError) -> Failed {
    match error {
        CoseError::EmptyPath => Failed::not_found(error.to_string()),
        error => {
            tracing::error!(%error, "a receipt is not signed");
            Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "the receipt cannot be signed")
        }
    }
}

/// `GET /v1/consistency?from=M&to=N`, with `&format=cose-receipt` for one that is signed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Between {
    from: Number,
    to: Option<Number>,
    format: Option<ConsistencyFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ConsistencyFormat {
    Json,
    CoseReceipt,
}

/// Proves that the tree of one size is a prefix of that of another.
pub(super) async fn consistency(
    State(served): State<Arc<Served>>,
    Asked(asked): Asked<Between>,
) -> Result<Response, Failed> {
    served.blocking(move |served| prove_consistency(served, &asked)).await
}

fn prove_consistency(served: &Served, asked: &Between) -> Result<Response, Failed> {
    let Between { from: Number(from), to, format } = *asked;
    let published = served.published()?;
    let current = published.head().size.get();
    let to = to.map_or(current, |Number(to)| to);
    within(to, current)?;
    // A tree of a smaller size has no root that the tiles which are left lead to.
    served.must_be_published(from.min(to))?;
    let snapshot = published.snapshot();
    let proof = snapshot.prove_consistency_between(from, to)?;
    if format == Some(ConsistencyFormat::CoseReceipt) {
        if to != current {
            return Err(Failed::bad("what is signed is of the checkpoint; leave out to"));
        }
        let (signer, key_id) = served.log.receipts().ok_or_else(no_receipts)?;
        let (checkpoint, from) = (published.checkpoint(), TreeSize(from));
        let receipt = ConsistencyReceipt::sign(signer, Some(key_id), from, checkpoint, proof);
        return Ok(cose(served, receipt.map_err(no_receipt)?.as_bytes()));
    }
    served.counted.proofs.add(1);
    Ok(Json(json!({
        "kind": "consistency",
        "hasher": "rfc6962-sha256",
        "arity": 2,
        "old_size": from,
        "old_root": const_hex::encode(snapshot.head_at(from)?.root),
        "new_size": to,
        "new_root": const_hex::encode(snapshot.head_at(to)?.root),
        "hashes": hex(proof.hashes()),
    }))
    .into_response())
}

/// `?index=N`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    index: Number,
}

/// `GET /v1/entry?index=N`: the bytes of the entry.
pub(super) async fn entry(
    State(served): State<Arc<Served>>,
    Asked(At { index: Number(index) }): Asked<At>,
) -> Result<Response, Failed> {
    let published = served.published()?;
    within(index.saturating_add(1), published.head().size.get())?;
    served.must_be_published(index)?;
    let read = move |served: &Served| {
        let entry = published.snapshot().entry(index)?.to_vec();
        served.room.answer(entry)
    };
    let entry = served.room.send(served.blocking(read).await?);
    let kind = (header::CONTENT_TYPE, "application/octet-stream");
    Ok(([kind, (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], entry).into_response())
}

/// `?leaf=HEX`, or `?data=TEXT` for the leaf of a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sought {
    leaf: Option<String>,
    data: Option<String>,
}

/// `GET /v1/find`: the index of the first leaf that is equal.
pub(super) async fn find(
    State(served): State<Arc<Served>>,
    Asked(sought): Asked<Sought>,
) -> Answer {
    let leaf = match (&sought.leaf, &sought.data) {
        (Some(leaf), None) => leaf_of(leaf)?,
        (None, Some(data)) => Rfc6962Sha256.leaf(data.as_bytes()),
        _ => return Err(Failed::bad("give either leaf or data")),
    };
    let published = served.published()?;
    let index = served.blocking(move |_| found(&published, &leaf)).await?;
    served.must_be_published(index)?;
    Ok(Json(json!({ "index": index, "leaf": const_hex::encode(leaf) })))
}

/// The index of the first equal leaf in the checkpoint.
fn found(published: &Published, leaf: &Hash) -> Result<u64, Failed> {
    let size = published.head().size;
    let index = published.snapshot().find(leaf)?.filter(|index| index.get() < size.get());
    let absent = || {
        let leaf = const_hex::encode(leaf);
        Failed::not_found(format!("the log has no leaf {leaf} in its checkpoint"))
    };
    Ok(index.ok_or_else(absent)?.get())
}

fn within(size: u64, current: u64) -> Result<(), Failed> {
    match size <= current {
        true => Ok(()),
        false => {
            let message = format!("the checkpoint has size {current}, and {size} is beyond it");
            Err(Failed::not_found(message))
        }
    }
}

fn leaf_of(digits: &str) -> Result<Hash, Failed> {
    let leaf = const_hex::decode_to_array(digits);
    leaf.map_err(|_| Failed::bad("a leaf is 64 hexadecimal digits"))
}

fn hex(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(const_hex::encode).collect()
}

fn text(published: &Published) -> String {
    String::from_utf8_lossy(published.note()).into_owned()
}
