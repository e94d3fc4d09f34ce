//! TLS for connections, by rustls.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The certificate of a server, and its key. TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

/// Why a certificate or its key cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A text is not PEM, or has not what is needed.
    #[error("there is no {what}: {reason}")]
    Pem {
        /// What should be there.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The key is not the certificate's, or neither can be used.
    #[error("the certificate cannot be served: {reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
}

impl Tls {
    /// The certificate, with those that lead from it to a root behind it, and its private key, as PEM.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if one of them cannot be read, or if they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let failed = |what| {
            move |error: rustls::pki_types::pem::Error| TlsError::Pem {
                what,
                reason: error.to_string(),
            }
        };
        let chain = CertificateDer::pem_slice_iter(certificates);
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(failed("certificate"))?;
        if chain.is_empty() {
            let reason = "the text has none".to_owned();
            return Err(TlsError::Pem { what: "certificate", reason });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(failed("private key"))?;
        let unusable = |error: rustls::Error| TlsError::Unusable { reason: error.to_string() };
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth();
        let mut config = config.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
