//! The `COSE_Sign1` around a proof: headers, a payload that is not there, and the signature.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::cbor::{Label, Reader, written};
use super::error::CoseError;
use crate::merkle::Hash;
use crate::tlog::key::{PublicKey, Signer, is_signed_by};

const SIGN1: u64 = 18;
const ALGORITHM: i64 = 1;
const CRITICAL: i64 = 2;
const KEY_ID: i64 = 4;
const STRUCTURE: i64 = 395;
const PROOFS: i64 = 396;
/// `EdDSA`, which is what is written, and `Ed25519`.
const ALGORITHMS: [i64; 2] = [-8, -19];
const RFC9162_SHA256: i64 = 1;

/// A kind of proof.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Its label among the proofs.
    pub(super) label: i64,
    pub(super) name: &'static str,
}

pub(super) const INCLUSION: Kind = Kind { label: -1, name: "inclusion" };
pub(super) const CONSISTENCY: Kind = Kind { label: -2, name: "consistency" };

/// A receipt as far as the kind of its proof makes no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The whole receipt.
    pub(super) bytes: Vec<u8>,
    protected: Vec<u8>,
    pub(super) key_id: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    signature: Vec<u8>,
}

impl Envelope {
    /// Signs `root` and wraps up the proof that leads there.
    pub(super) fn sign(
        signer: &dyn Signer,
        key_id: Option<&[u8]>,
        kind: Kind,
        proof: &[u8],
        root: &Hash,
    ) -> Result<Self, CoseError> {
        let PublicKey::Ed25519(_) = signer.public_key() else { return Err(CoseError::OtherKey) };
        // The keys of deterministic CBOR are in the order of their bytes.
        let protected = written(|e| {
            e.map(2 + u64::from(key_id.is_some()))?.i64(ALGORITHM)?.i64(ALGORITHMS[0])?;
            if let Some(key_id) = key_id {
                e.i64(KEY_ID)?.bytes(key_id)?;
            }
            e.i64(STRUCTURE)?.i64(RFC9162_SHA256)?;
            Ok(())
        });
        let signature = signer.sign(&to_be_signed(&protected, root)).map_err(CoseError::Signer)?;
        let bytes = written(|e| {
            e.tag(minicbor::data::Tag::new(SIGN1))?.array(4)?.bytes(&protected)?;
            e.map(1)?.i64(PROOFS)?.map(1)?.i64(kind.label)?.array(1)?.bytes(proof)?;
            e.null()?.bytes(&signature)?;
            Ok(())
        });
        let key_id = key_id.map(<[u8]>::to_vec);
        Ok(Self { bytes, protected, key_id, payload: None, signature })
    }

    /// Reads a receipt with one proof of this kind. Returns the bytes of the proof as well.
    pub(super) fn read(bytes: &[u8], kind: Kind) -> Result<(Self, &[u8]), CoseError> {
        let mut reader = Reader::new("envelope", bytes);
        reader.tag(SIGN1)?;
        reader.array_of(4, "a COSE_Sign1 has four items")?;
        let protected = reader.bytes()?;
        let mut labels = BTreeSet::new();
        let key_id = read_protected(protected, &mut labels)?;
        let proof = read_unprotected(&mut reader, &mut labels, kind)?;
        let payload = reader.bytes_or_nil()?.map(<[u8]>::to_vec);
        let signature = reader.bytes()?.to_vec();
        reader.end()?;
        let (bytes, protected) = (bytes.to_vec(), protected.to_vec());
        Ok((Self { bytes, protected, key_id, payload, signature }, proof))
    }

    /// Verifies that `key` signed `root`, to which the proof leads.
    pub(super) fn verify(&self, key: &PublicKey, root: &Hash) -> Result<(), CoseError> {
        if self.payload.as_ref().is_some_and(|payload| payload != root) {
            return Err(CoseError::OtherPayload);
        }
        let PublicKey::Ed25519(key) = key else { return Err(CoseError::OtherKey) };
        match is_signed_by(key, &to_be_signed(&self.protected, root), &self.signature) {
            true => Ok(()),
            false => Err(CoseError::WrongSignature),
        }
    }
}

/// `Sig_structure` of RFC 9052, section 4.4.
fn to_be_signed(protected: &[u8], root: &Hash) -> Vec<u8> {
    written(|e| {
        e.array(4)?.str("Signature1")?.bytes(protected)?.bytes(&[])?.bytes(root)?;
        Ok(())
    })
}

/// Refuses a label that was there already: labels name one value in both headers together.
fn add_label<'b>(labels: &mut BTreeSet<Label<'b>>, label: &Label<'b>) -> Result<(), CoseError> {
    if labels.insert(label.clone()) {
        return Ok(());
    }
    Err(CoseError::LabelTwice { label: label.to_string() })
}

/// Reads the protected header. Returns the key id, if there is one.
fn read_protected<'b>(
    bytes: &'b [u8],
    labels: &mut BTreeSet<Label<'b>>,
) -> Result<Option<Vec<u8>>, CoseError> {
    let mut reader = Reader::new("protected header", bytes);
    let (mut algorithm, mut structure, mut key_id) = (None, None, None);
    for _ in 0..reader.map()? {
        let label = reader.label()?;
        add_label(labels, &label)?;
        match label {
            Label::Number(ALGORITHM) => algorithm = Some(reader.integer()?),
            Label::Number(STRUCTURE) => structure = Some(reader.integer()?),
            Label::Number(KEY_ID) => key_id = Some(reader.bytes()?.to_vec()),
            Label::Number(CRITICAL) => return Err(CoseError::Critical),
            _ => reader.skip()?,
        }
    }
    reader.end()?;
    let algorithm = algorithm.ok_or(CoseError::NoHeader { header: "alg (1)" })?;
    if !ALGORITHMS.contains(&algorithm) {
        return Err(CoseError::Algorithm { found: algorithm });
    }
    let structure = structure.ok_or(CoseError::NoHeader { header: "vds (395)" })?;
    if structure != RFC9162_SHA256 {
        return Err(CoseError::Structure { found: structure });
    }
    Ok(key_id)
}

/// Reads the unprotected header. Returns the bytes of the one proof.
fn read_unprotected<'b>(
    reader: &mut Reader<'b>,
    labels: &mut BTreeSet<Label<'b>>,
    kind: Kind,
) -> Result<&'b [u8], CoseError> {
    let mut proof = None;
    for _ in 0..reader.map()? {
        let label = reader.label()?;
        add_label(labels, &label)?;
        match label {
            Label::Number(PROOFS) => proof = Some(read_proofs(reader, kind)?),
            Label::Number(CRITICAL) => return Err(CoseError::Critical),
            _ => reader.skip()?,
        }
    }
    proof.ok_or(CoseError::NoHeader { header: "vdp (396)" })
}

fn read_proofs<'b>(reader: &mut Reader<'b>, kind: Kind) -> Result<&'b [u8], CoseError> {
    let none = CoseError::Proofs { kind: kind.name, found: 0 };
    if reader.map()? != 1 || reader.label()? != Label::Number(kind.label) {
        return Err(none);
    }
    match reader.array()? {
        1 => reader.bytes(),
        found => Err(CoseError::Proofs { kind: kind.name, found }),
    }
}

/// Two numbers and the hashes of a path: what every proof is.
pub(super) fn write_proof(numbers: [u64; 2], hashes: &[Hash]) -> Result<Vec<u8>, CoseError> {
    if hashes.is_empty() {
        return Err(CoseError::EmptyPath);
    }
    Ok(written(|e| {
        e.array(3)?.u64(numbers[0])?.u64(numbers[1])?.array(hashes.len() as u64)?;
        for hash in hashes {
            e.bytes(hash)?;
        }
        Ok(())
    }))
}

/// Reads the same, of at most `most` hashes.
pub(super) fn read_proof(bytes: &[u8], most: usize) -> Result<([u64; 2], Vec<Hash>), CoseError> {
    let mut reader = Reader::new("proof", bytes);
    reader.array_of(3, "a proof is two numbers and a path")?;
    let numbers = [reader.unsigned()?, reader.unsigned()?];
    let count = reader.array()?;
    if count == 0 {
        return Err(CoseError::EmptyPath);
    }
    if count > most as u64 {
        return Err(CoseError::TooManyHashes { most });
    }
    let mut hashes = Vec::new();
    for _ in 0..count {
        let hash = reader.bytes()?.try_into();
        hashes.push(hash.map_err(|_| reader.wrong("a hash has 32 bytes"))?);
    }
    reader.end()?;
    Ok((numbers, hashes))
}
