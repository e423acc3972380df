//! The certificate of the encrypted doors: read from PEM files, replaced while connections stay open.
//!
//! Invariant: what is served is always a whole chain with the key that belongs to it; a reload that cannot read both
//! changes nothing. A connection keeps the certificate that its handshake began with.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::feed::NO_FILE;

/// Where a certificate is.
#[derive(Clone, Debug)]
pub struct CertificatePaths {
    /// PEM: the server's certificate first, then the ones that lead to a root.
    pub chain: PathBuf,
    /// PEM: the private key, as PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

impl CertificatePaths {
    /// Whether what is there can be served.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn check(&self) -> Result<(), CertificateError> {
        read(self).map(drop)
    }
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read, or is not PEM.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: pem::Error,
    },
    /// The chain has no certificate in it.
    #[error("{}: no certificate in it", .0.display())]
    Empty(PathBuf),
    /// The two do not belong together, or their kind is not supported.
    #[error("{}: not usable with {}: {why}", key.display(), chain.display())]
    Pair {
        /// The chain's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        why: rustls::Error,
    },
}

/// The certificate that is being served.
#[derive(Debug)]
pub(super) struct Certificate {
    paths: CertificatePaths,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads both files.
    pub(super) fn open(paths: CertificatePaths) -> Result<Self, CertificateError> {
        let current = ArcSwap::from_pointee(read(&paths)?);
        Ok(Self { paths, current })
    }

    /// Reads both files again, for handshakes from now on.
    pub(super) fn reload(&self) -> Result<(), CertificateError> {
        self.current.store(Arc::new(read(&self.paths)?));
        Ok(())
    }

    /// What a handshake that begins now is to use.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }
}

fn read(paths: &CertificatePaths) -> Result<CertifiedKey, CertificateError> {
    let CertificatePaths { chain, key } = paths;
    // to open a pipe is to wait for whoever writes to it
    if let Some(path) = [chain, key].into_iter().find(|path| path.exists() && !path.is_file()) {
        let why = pem::Error::Io(io::Error::other(NO_FILE));
        return Err(CertificateError::File { path: path.clone(), why });
    }
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| CertificateError::File { path: chain.clone(), why })?;
    if certificates.is_empty() {
        return Err(CertificateError::Empty(chain.clone()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| CertificateError::File { path: key.clone(), why })?;
    CertifiedKey::from_der(certificates, private, &default_provider()).map_err(|why| CertificateError::Pair {
        chain: chain.clone(),
        key: key.clone(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_fails_keeps_what_was_served() {
        let folder = tempfile::tempdir().unwrap();
        let paths = CertificatePaths { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        let write = |certified: &rcgen::CertifiedKey<rcgen::KeyPair>| {
            std::fs::write(&paths.chain, certified.cert.pem()).unwrap();
            std::fs::write(&paths.key, certified.signing_key.serialize_pem()).unwrap();
        };
        let [first, second] = [1, 2].map(|_| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
        write(&first);
        let certificate = Certificate::open(paths.clone()).unwrap();
        assert_eq!(&certificate.current().cert[0], first.cert.der());

        std::fs::write(&paths.chain, second.cert.pem()).unwrap();
        let error = certificate.reload().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: not usable with", paths.key.display())), "{error}");
        std::fs::write(&paths.chain, "no certificate").unwrap();
        assert!(matches!(certificate.reload(), Err(CertificateError::Empty(_))));
        std::fs::remove_file(&paths.chain).unwrap();
        assert!(matches!(certificate.reload(), Err(CertificateError::File { .. })));
        assert_eq!(&certificate.current().cert[0], first.cert.der());

        write(&second);
        certificate.reload().unwrap();
        assert_eq!(&certificate.current().cert[0], second.cert.der());
    }
}
