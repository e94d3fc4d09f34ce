//! duramen's verifier for JavaScript: two modules, of the features `tree` and `tlog`, so that a page loads what it needs.
//! `README.md` shows how a program uses them. The types that are generated from the comments here are the reference.

#[cfg(feature = "tlog")]
mod tlog;
#[cfg(feature = "tree")]
mod tree;

use duramen_bindings::{Hash, Refusal, hash};
use js_sys::{Error, Object, Reflect};
use wasm_bindgen::JsValue;

fn one(bytes: &[u8], what: &str) -> Result<Hash, JsValue> {
    hash(bytes, what).map_err(thrown)
}

/// A size or an index. The glue of `wasm-bindgen` would take one of more bits modulo 2^64, so that one proof verified for many
/// indexes.
#[cfg(feature = "tree")]
fn number(value: js_sys::BigInt, what: &str) -> Result<u64, JsValue> {
    let input = |_| thrown(Refusal::Input(format!("{what} is no bigint from 0 to 2^64 - 1")));
    u64::try_from(JsValue::from(value)).map_err(input)
}

fn thrown(refusal: Refusal) -> JsValue {
    let error = Error::new(&refusal.to_string());
    error.set_name(match refusal {
        Refusal::Input(_) => "InputError",
        Refusal::DoesNotHold(_) => "VerifyError",
    });
    error.into()
}

fn object(fields: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &(*name).into(), value)?;
    }
    Ok(object)
}
