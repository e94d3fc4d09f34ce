//! Keys: C2SP `signed-note`, *Verifier keys* and *Signature types*; C2SP `tlog-cosignature`, *Format*.

use duramen::tlog::{
    AnyVerifier, Cosigner, Ed25519CosignatureVerifier, Ed25519Key, Ed25519Signer, Ed25519Verifier,
    KeyType, MlDsa44Key, MlDsa44Verifier, NoteVerifier, PublicKey, Signer, SignerError, TlogError,
};
use proptest::prelude::*;

use crate::tlog::model::{ed25519_witness, log_key, mldsa_witness, sha256};

fn vkeys() -> [String; 3] {
    [log_key().verifier().to_string(), ed25519_witness(1).vkey(), mldsa_witness(1).vkey()]
}

/// signed-note, Signatures; tlog-cosignature, Format: the key ID.
#[test]
fn the_id_of_a_key_is_the_hash_of_name_newline_type_and_public_key() {
    for text in vkeys() {
        let key: AnyVerifier = text.parse().unwrap();
        let public = key.public_key();
        let input = [key.name().as_bytes(), b"\n", &[key.key_type().0], public.as_bytes()].concat();
        assert_eq!(key.id().to_be_bytes(), sha256(&input)[..4]);
        assert_eq!(text.split('+').nth(1).unwrap(), format!("{:08x}", key.id()));
    }
}

/// signed-note, Verifier keys; tlog-cosignature, Format: vkeys of types 0x01, 0x04 and 0x06.
#[test]
fn a_key_of_each_type_is_read_as_this_type_and_printed_as_it_was() {
    let types = [KeyType::ED25519, KeyType::ED25519_COSIGNATURE, KeyType::ML_DSA_44_COSIGNATURE];
    for (text, key_type) in vkeys().iter().zip(types) {
        let key: AnyVerifier = text.parse().unwrap();
        assert_eq!((key.key_type(), key.to_string()), (key_type, text.clone()));
        let read = [
            text.parse::<Ed25519Verifier>().map(|key| key.to_string()),
            text.parse::<Ed25519CosignatureVerifier>().map(|key| key.to_string()),
            text.parse::<MlDsa44Verifier>().map(|key| key.to_string()),
        ];
        for (read, expected) in read.into_iter().zip(types) {
            let other = TlogError::OtherKeyType { expected, found: key_type };
            assert_eq!(read, if expected == key_type { Ok(text.clone()) } else { Err(other) });
        }
    }
}

/// signed-note, Signature types.
#[test]
fn a_key_of_an_unknown_type_is_refused_by_the_name_of_its_type() {
    for (byte, name) in [
        (0x00, "0x00 (not assigned)"),
        (0x02, "0x02 (ECDSA signatures)"),
        (0x03, "0x03 (reserved)"),
        (0x05, "0x05 (RFC 6962 tree head signatures)"),
        (0xfa, "0xfa (reserved)"),
        (0xff, "0xff (a type without a number)"),
    ] {
        let key = base64([&[byte], [7; 32].as_slice()].concat().as_slice());
        let refused = format!("example.com/key+00000000+{key}").parse::<AnyVerifier>().unwrap_err();
        assert_eq!(refused, TlogError::UnknownKeyType { key_type: KeyType(byte) });
        assert_eq!(refused.to_string(), format!("keys of type {name} are not supported here"));
    }
}

/// signed-note, Verifier keys: name and ID match those of the signatures.
#[test]
fn a_key_whose_id_or_length_is_wrong_is_refused() {
    for text in vkeys() {
        let mut parts = text.splitn(3, '+');
        let (name, id, key) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let other = if id == "00000000" { "00000001" } else { "00000000" };
        let refused = format!("{name}+{other}+{key}").parse::<AnyVerifier>();
        assert!(matches!(refused, Err(TlogError::OtherKeyId { stated, .. }) if stated < 2));
        for bad in [
            format!("{name}+{}+{key}", id.to_uppercase() + "0"),
            format!("{name}+{id}+{}", &key[..key.len() - 4]),
            format!("{name}+{id}+AAAA{key}"),
            format!("{name}+{id}+{key}\n"),
            format!(" {name}+{id}+{key}"),
            format!("+{id}+{key}"),
            format!("{name}+{id}+"),
        ] {
            assert!(bad.parse::<AnyVerifier>().is_err(), "{bad:.40}");
        }
    }
}

#[test]
fn a_secret_text_is_read_as_the_key_that_it_is_and_as_no_other() {
    let texts =
        [log_key().secret_text(), ed25519_witness(1).secret_text(), mldsa_witness(1).secret_text()];
    let read: Ed25519Signer = texts[0].parse().unwrap();
    assert_eq!(read.verifier(), log_key().verifier());
    let read: Cosigner<Ed25519Key> = texts[1].parse().unwrap();
    assert_eq!(read.vkey(), ed25519_witness(1).vkey());
    let read: Cosigner<MlDsa44Key> = texts[2].parse().unwrap();
    assert_eq!((read.vkey(), read.secret_text()), (mldsa_witness(1).vkey(), texts[2].clone()));
    for (at, text) in texts.iter().enumerate() {
        let read = [
            text.parse::<Ed25519Signer>().map(drop),
            text.parse::<Cosigner<Ed25519Key>>().map(drop),
            text.parse::<Cosigner<MlDsa44Key>>().map(drop),
        ];
        for (other, read) in read.into_iter().enumerate() {
            assert_eq!(read.is_ok(), at == other);
            assert!(at == other || matches!(read, Err(TlogError::OtherKeyType { .. })));
        }
        assert!(text.strip_prefix("PRIVATE+KEY+").unwrap().parse::<Ed25519Signer>().is_err());
    }
    let debug = format!("{:?}{:?}{:?}", log_key(), ed25519_witness(1), mldsa_witness(1));
    assert!(texts.iter().all(|text| !debug.contains(&text[text.len() - 20..])));
    assert!(!debug.contains("101, 101"), "{debug}");
}

/// A module that has the key elsewhere and fails.
struct Locked(PublicKey);

impl Signer for Locked {
    fn public_key(&self) -> PublicKey {
        self.0.clone()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError::new("locked"))
    }
}

#[test]
fn a_key_elsewhere_signs_as_log_and_cosigner_and_its_failure_is_reported() {
    let module: Box<dyn Signer> = Box::new(Ed25519Key::from_secret(&[1; 32]));
    let log = Ed25519Signer::new(crate::tlog::model::ORIGIN, module).unwrap();
    assert_eq!(log.verifier(), log_key().verifier());
    let sign = |text| duramen::tlog::SignedNote::sign(text, &log).unwrap();
    assert!(sign("text\n").verify(&[&log_key().verifier()]).is_ok());

    let key = MlDsa44Key::from_seed(&[1; 32]);
    let wrong = Ed25519Signer::new("name", &key).unwrap_err();
    assert!(matches!(wrong, TlogError::OtherKeyType { expected: KeyType::ED25519, .. }));
    let locked = Cosigner::new("name", Locked(key.public_key())).unwrap();
    let subtree = duramen::merkle::Subtree::new(8, 16).unwrap();
    let refused = locked.cosign_subtree("log", subtree, &[0; 32]).unwrap_err();
    assert_eq!(refused.to_string(), "name cannot sign: locked");
    // No point of the curve.
    let mut bytes = [0xff; 32];
    bytes[31] = 0x7f;
    bytes[0] = 0xf0;
    let none = (0..=255).find_map(|byte| {
        bytes[0] = byte;
        Cosigner::new("name", Locked(PublicKey::Ed25519(bytes))).err()
    });
    assert!(matches!(none, Some(TlogError::KeyText { .. })));
}

proptest! {
    #[test]
    fn reading_any_key_is_total_and_what_is_read_is_printed_as_it_was(
        text in "[a-z+ ]{0,8}\\+[0-9a-f]{7,9}\\+[A-Za-z0-9+/=]{0,60}",
        at in any::<prop::sample::Index>(),
        with in any::<char>(),
    ) {
        for text in [text, changed(&vkeys()[1], &at, with), changed(&vkeys()[2], &at, with)] {
            if let Ok(key) = text.parse::<AnyVerifier>() {
                prop_assert_eq!(key.to_string(), text.as_str());
            }
        }
    }
}

fn changed(text: &str, at: &prop::sample::Index, with: char) -> String {
    let at = at.index(text.len());
    format!("{}{with}{}", &text[..at], &text[at + 1..])
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= group.len() { char::from(DIGITS[value]) } else { '=' });
        }
    }
    text
}
