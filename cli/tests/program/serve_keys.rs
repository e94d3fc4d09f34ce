//! `duramen serve` with more keys than that of the log, and with a certificate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use duramen::tlog::{AnyVerifier, NoteVerifier, SignedNote};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, printed, refused};

const ORIGIN: &str = "example.com/log";
const SERVE: &str = "serve @store --listen 127.0.0.1:0 --key @key --first-anchor";
const CERTIFICATE: &str = include_str!("../../../log/tests/tls/certificate.pem");
const KEY: &str = include_str!("../../../log/tests/tls/key.pem");
const OTHER: &str = include_str!("../../../log/tests/tls/other.pem");

/// Makes a key in a file, and returns its public text.
fn key(place: &Place, name: &str, file: &str, kind: &str) -> String {
    let line = format!("keygen {name} --type {kind} -o @{file}");
    printed(duramen(place, &line)).trim().to_owned()
}

#[test]
fn a_log_signs_with_ml_dsa_44_as_well_and_a_client_that_knows_that_key_alone_verifies() {
    let place = Place::new();
    let keys = [
        key(&place, ORIGIN, "key", "log"),
        key(&place, ORIGIN, "own", "ml-dsa-44"),
        key(&place, ORIGIN, "older", "cosigner"),
    ];
    let line = format!("{SERVE} --cosigner-key @own --cosigner-key @older");
    let served = Process::start(command(&place, &[], &line));
    let answer = served.request("POST", "/add?wait=checkpoint", b"an entry");
    assert_eq!(answer.status, 200, "{answer:?}");
    place.file("proof", answer.text());
    place.file("checkpoint", served.get("/checkpoint").text());
    for vkey in &keys {
        let line = format!("verify checkpoint @checkpoint --vkey {vkey}");
        assert!(printed(duramen(&place, &line)).contains('1'), "{vkey}");
        place.file("entry", "an entry");
        let line = format!("verify inclusion @proof --vkey {vkey} --index 0 --data @entry");
        printed(duramen(&place, &line));
    }
    let note: SignedNote = served.get("/checkpoint").text().parse().unwrap();
    assert_eq!(note.signatures().len(), 3);
    let state: serde_json::Value = serde_json::from_str(served.get("/v1/state").text()).unwrap();
    assert_eq!(state["keys"], serde_json::json!(keys));
    // A cosignature has the time of the day.
    for vkey in &keys[1..] {
        let key: AnyVerifier = vkey.parse().unwrap();
        let signature = note.signature_by(&key).unwrap().unwrap();
        assert!(key.timestamp(signature.bytes()).unwrap() > 1_700_000_000);
    }
    served.stop();
}

#[test]
fn each_log_is_cosigned_by_the_keys_of_its_name() {
    let place = Place::new();
    key(&place, "example.com/one", "one", "log");
    key(&place, "example.com/two", "two", "log");
    let vkey = key(&place, "example.com/two", "own", "ml-dsa-44");
    let line = "serve @store --listen 127.0.0.1:0 --tree one --key @one --tree two --key @two --first-anchor --cosigner-key @own";
    let served = Process::start(command(&place, &[], line));
    let own: AnyVerifier = vkey.parse().unwrap();
    for (path, signed) in [("/one/checkpoint", false), ("/two/checkpoint", true)] {
        let note: SignedNote = served.get(path).text().parse().unwrap();
        assert_eq!(note.signature_by(&own).unwrap().is_some(), signed, "{path}");
    }
    served.stop();
}

#[test]
fn a_cosigner_key_that_no_served_log_has_is_refused() {
    let place = Place::new();
    key(&place, ORIGIN, "key", "log");
    key(&place, "example.com/other", "other", "ml-dsa-44");
    let told = refused(duramen(&place, &format!("{SERVE} --cosigner-key @other")), 2);
    assert!(told.contains("no log is served that example.com/other could cosign"), "{told}");
    let told = refused(duramen(&place, &format!("{SERVE} --cosigner-key @key")), 2);
    assert!(told.contains("is for --key"), "{told}");
    // Nothing was made, so this is the first start.
    let told = refused(duramen(&place, &format!("{SERVE} --key @other")), 2);
    assert!(told.contains("each log has a key of its own"), "{told}");
}

/// Sends a request over TLS and returns the answer.
fn over_tls(address: &str, request: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    let request = format!("{request}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // Whether the server says that it ends the connection is not asked here.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn clients_and_operators_are_served_over_tls() {
    let place = Place::new();
    key(&place, ORIGIN, "key", "log");
    place.file("cert", CERTIFICATE);
    place.file("cert-key", KEY);
    place.file("token", "0123456789abcdef");
    let admin = free_address();
    let line = format!(
        "{SERVE} --tls-cert @cert --tls-key @cert-key --admin {admin} --admin-token @token"
    );
    let served = Process::start(command(&place, &[], &line));
    let answer = over_tls(&served.address, "GET /checkpoint HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(ORIGIN), "{answer}");
    let metrics = "GET /metrics HTTP/1.1";
    let answer = over_tls(&admin, &format!("{metrics}\r\nauthorization: Bearer 0123456789abcdef"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(over_tls(&admin, metrics).starts_with("HTTP/1.1 401"));
    served.stop();
}

/// An address that nothing listens on.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let place = Place::new();
    key(&place, ORIGIN, "key", "log");
    place.file("cert", CERTIFICATE);
    place.file("other", OTHER);
    let told = refused(duramen(&place, &format!("{SERVE} --tls-cert @cert")), 2);
    assert!(told.contains("--tls-key"), "{told}");
    let line = format!("{SERVE} --tls-cert @cert --tls-key @other");
    let told = refused(duramen(&place, &line), 2);
    assert!(told.contains("is not a certificate of TLS with its key"), "{told}");
}
