//! The same over TLS.

use std::sync::Arc;
use std::time::Duration;

use duramen_log::http::{Limits, Listener, Tls, TlsError, serve};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::rig::Rig;

const CERTIFICATE: &[u8] = include_bytes!("../tls/certificate.pem");
const KEY: &[u8] = include_bytes!("../tls/key.pem");
const OTHER: &[u8] = include_bytes!("../tls/other.pem");

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_the_certificate_is_served_and_a_silent_one_keeps_nobody_waiting() {
    let client = Rig::new().served(&Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let listener = Listener::Tls(listener, Tls::from_pem(CERTIFICATE, KEY).unwrap());
    let limits = Limits { head: Duration::from_millis(500), ..Limits::default() };
    let serving = tokio::spawn(serve(listener, client.router, client.site, limits, stopped));
    // They never begin a handshake, or speak plainly.
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /checkpoint HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = "POST /add HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 3\r\n\r\none";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // Whether the server says that it ends the connection is not asked here.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"index\":0"), "{answer}");
    for stream in [&mut silent, &mut plain] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
    stop.send(()).unwrap();
    assert!(serving.await.unwrap().unwrap());
}

#[test]
fn what_is_no_certificate_with_its_key_is_refused() {
    let refused = |certificate: &[u8], key: &[u8]| Tls::from_pem(certificate, key).unwrap_err();
    assert!(matches!(refused(b"", KEY), TlsError::Pem { what: "certificate", .. }));
    assert!(matches!(refused(KEY, KEY), TlsError::Pem { what: "certificate", .. }));
    assert!(matches!(refused(CERTIFICATE, b""), TlsError::Pem { what: "private key", .. }));
    assert!(matches!(refused(CERTIFICATE, CERTIFICATE), TlsError::Pem { what: "private key", .. }));
    assert!(matches!(refused(CERTIFICATE, OTHER), TlsError::Unusable { .. }));
}
