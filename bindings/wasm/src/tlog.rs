//! What transparency logs sign: checkpoints, and proofs as texts.

use duramen_bindings::{Refusal, Signed};
use js_sys::{Array, BigInt, Object, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::{object, one, thrown};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a log signed, verified. */
export interface Signed {
  /** The name of the log. */
  origin: string;
  /** The size of its tree. */
  size: bigint;
  /** The root of its tree: 32 bytes. */
  root: Uint8Array;
  /** The lines behind the root, if a signature of the log covers them. */
  extensions: string[];
  /** For each witness of the policy, in order, the time of its cosignature in seconds since 1970, or null. Empty without a policy. */
  cosigned: (bigint | null)[];
  /** The index of the leaf, for the text of a proof. */
  index: bigint | null;
}
"#;

/// The leaf of an entry: SHA-256 as RFC 6962 has it.
#[wasm_bindgen(js_name = leafHash)]
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Vec<u8> {
    duramen_bindings::rfc6962_leaf(entry).to_vec()
}

/// Verifies a checkpoint: one of `keys`, public texts of keys of the log, signed it for the log `origin`.
#[wasm_bindgen(js_name = verifyCheckpoint, unchecked_return_type = "Signed")]
pub fn verify_checkpoint(note: &str, origin: &str, keys: Vec<String>) -> Result<Object, JsValue> {
    signed(duramen_bindings::checkpoint(note, origin, &keys))
}

/// Verifies a checkpoint against a policy (C2SP `tlog-policy`): a log that it has signed it, and enough of its witnesses
/// cosigned it.
#[wasm_bindgen(js_name = verifyWitnessed, unchecked_return_type = "Signed")]
pub fn verify_witnessed(note: &str, policy: &str) -> Result<Object, JsValue> {
    signed(duramen_bindings::witnessed(note, policy))
}

/// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, whose checkpoint one of `keys` signed for the log `origin`.
#[wasm_bindgen(js_name = verifyProof, unchecked_return_type = "Signed")]
pub fn verify_proof(
    text: &str,
    origin: &str,
    keys: Vec<String>,
    leaf: &[u8],
) -> Result<Object, JsValue> {
    let leaf = one(leaf, "the leaf")?;
    signed(duramen_bindings::proof(text, origin, &keys, &leaf))
}

/// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, whose checkpoint the policy accepts.
#[wasm_bindgen(js_name = verifyWitnessedProof, unchecked_return_type = "Signed")]
pub fn verify_witnessed_proof(text: &str, policy: &str, leaf: &[u8]) -> Result<Object, JsValue> {
    let leaf = one(leaf, "the leaf")?;
    signed(duramen_bindings::witnessed_proof(text, policy, &leaf))
}

fn signed(verified: Result<Signed, Refusal>) -> Result<Object, JsValue> {
    let Signed { origin, size, root, extensions, cosigned, index } = verified.map_err(thrown)?;
    let number = |number: Option<u64>| number.map_or(JsValue::NULL, |it| BigInt::from(it).into());
    let extensions: Array = extensions.into_iter().map(JsValue::from).collect();
    let cosigned: Array = cosigned.into_iter().map(number).collect();
    object(&[
        ("origin", origin.into()),
        ("size", size.into()),
        ("root", Uint8Array::from(&root[..]).into()),
        ("extensions", extensions.into()),
        ("cosigned", cosigned.into()),
        ("index", number(index)),
    ])
}
