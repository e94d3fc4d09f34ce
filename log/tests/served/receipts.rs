//! Proofs that are signed, as two formats of the same proof.

use std::sync::Arc;
use std::time::Duration;

use duramen::tlog::cose::{ConsistencyReceipt, InclusionReceipt};
use duramen::tlog::{Ed25519Key, NoteVerifier, Signer, TlogProof};
use duramen::{Hasher, Rfc6962Sha256};
use duramen_log::http::Limits;

use crate::rig::{Client, ORIGIN, Rig, key};

const COSE: &str = "application/cose; cose-type=\"cose-sign1\"";

async fn published(client: &Client) {
    let site = Arc::clone(&client.site);
    // A closed site answers what it has.
    tokio::task::spawn_blocking(move || site.close()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tlog_proof_and_a_receipt_are_of_one_proof_and_one_root() {
    let rig = Rig::new();
    let own = Ed25519Key::from_secret(&[7; 32]);
    let public = own.public_key();
    let client = rig.client(&Limits::default(), |config| {
        config.interval(Duration::from_secs(3600)).receipts(Arc::new(own), "the key")
    });
    for entry in ["a", "b", "c", "d", "e"] {
        assert_eq!(client.add(entry).await.status, 200);
    }
    published(&client).await;
    let head = client.get("/checkpoint").await.signed();
    let old = client.get("/v1/proof?index=0&size=3").await.json()["root"].clone();
    for (index, entry) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        let leaf = Rfc6962Sha256.leaf(entry.as_bytes());
        let path = format!("/v1/proof?index={index}&format=");
        let text = client.get(&format!("{path}tlog-proof")).await;
        let text: TlogProof = text.text().parse().unwrap();
        let key = key().verifier();
        let signed = text.verify(&[&key as &dyn NoteVerifier], ORIGIN, &leaf).unwrap();
        let answer = client.get(&format!("{path}cose-receipt")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(COSE)));
        let receipt = InclusionReceipt::read(&answer.body).unwrap();
        assert_eq!(receipt.verify(&public, &leaf), Ok(head.root));
        assert_eq!((receipt.proof(), receipt.index()), (&text.proof, text.index));
        assert_eq!((receipt.size(), signed.head()), (head.size, head));
        assert_eq!(receipt.key_id(), Some(&b"the key"[..]));
    }
    let answer = client.get("/v1/consistency?from=3&format=cose-receipt").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(COSE)));
    let receipt = ConsistencyReceipt::read(&answer.body).unwrap();
    let mut root = [0; 32];
    let digits = old.as_str().unwrap();
    for (place, byte) in root.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap();
    }
    let old = duramen::TreeHead { size: duramen::TreeSize(3), root };
    assert_eq!(receipt.verify(&public, &old), Ok(head.root));
    for (path, status) in [
        ("/v1/proof?index=5&format=cose-receipt", 404),
        ("/v1/proof?index=1&size=3&format=cose-receipt", 400),
        ("/v1/proof?index=1&format=cose", 400),
        ("/v1/consistency?from=1&to=3&format=cose-receipt", 400),
        // Neither has a path.
        ("/v1/consistency?from=5&format=cose-receipt", 404),
        ("/v1/consistency?from=0&format=cose-receipt", 404),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_key_for_receipts_gives_none() {
    let client = Rig::new().served(&Limits::default());
    client.add("a").await;
    client.add("b").await;
    published(&client).await;
    let answer = client.get("/v1/proof?index=1&format=cose-receipt").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("gives no receipts"), "{answer:?}");
}
