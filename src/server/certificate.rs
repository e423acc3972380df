//! The certificate of the encrypted doors: read from PEM files, replaced while connections stay open.
//!
//! Invariant: what is served is always a whole chain with the key that belongs to it; a reload that cannot read both
//! changes nothing. A connection keeps the certificate that its handshake began with.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use crate::dataset::file_at;
use crate::feed::SystemError;
use crate::server::tally::Carrier;

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
    /// A file cannot be read.
    #[error("{}: {}", path.display(), SystemError(why))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// A file is not PEM.
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

/// How the certificate of an encrypted door is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateState {
    /// The door.
    pub door: Carrier,
    /// When the one that is served ends, in seconds since 1970; the server's own, not one of those behind it.
    pub expires: Option<i64>,
    /// How many times it could not be read again.
    pub failures: u64,
    /// Why it could not be the last time; none if it could.
    pub error: Option<String>,
}

/// The certificates of all encrypted doors. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Vec<(Carrier, Arc<Certificate>)>);

impl Certificates {
    pub(super) fn add(&mut self, door: Carrier, certificate: Arc<Certificate>) {
        self.0.push((door, certificate));
    }

    /// Reads the files again, for handshakes from now on; open connections stay.
    ///
    /// # Errors
    ///
    /// [`CertificateError`], the first one of several; that certificate stays the one it was, and others are reloaded.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let reloaded: Vec<_> = self.0.iter().map(|(_, certificate)| certificate.reload()).collect();
        reloaded.into_iter().collect()
    }

    /// How they are.
    pub fn states(&self) -> Vec<CertificateState> {
        self.0.iter().map(|(door, certificate)| certificate.state(*door)).collect()
    }
}

impl CertificateError {
    /// The file that is wrong; of two that do not belong together the key's.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. } | Self::File { path, .. } | Self::Empty(path) | Self::Pair { key: path, .. } => {
                path
            }
        }
    }

    /// What is wrong with a file of PEM.
    fn of(path: &Path, why: pem::Error) -> Self {
        let path = path.to_owned();
        match why {
            pem::Error::Io(why) => Self::Read { path, why },
            why => Self::File { path, why },
        }
    }

    /// Whether this file is there, and for others to read.
    fn is_denied(&self, file: &Path) -> bool {
        match self {
            Self::Read { path, why } => path == file && why.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

/// The certificate that is being served.
#[derive(Debug)]
pub(super) struct Certificate {
    paths: CertificatePaths,
    current: ArcSwap<CertifiedKey>,
    failed: Mutex<Failed>,
}

/// What became of reloads.
#[derive(Debug, Default)]
struct Failed {
    times: u64,
    last: Option<String>,
}

impl Certificate {
    /// Reads both files.
    pub(super) fn open(paths: CertificatePaths) -> Result<Self, CertificateError> {
        let current = ArcSwap::from_pointee(read(&paths)?);
        Ok(Self { paths, current, failed: Mutex::default() })
    }

    /// Reads both files again, for handshakes from now on.
    ///
    /// A key that only root may read is no error while the chain is the one that is served: there is nothing to renew.
    pub(super) fn reload(&self) -> Result<(), CertificateError> {
        let read = match read(&self.paths) {
            Err(error) if error.is_denied(&self.paths.key) && self.has_chain() => Ok(self.current()),
            read => read.map(Arc::new),
        };
        let mut failed = self.failed();
        failed.last = read.as_ref().err().map(ToString::to_string);
        failed.times += u64::from(failed.last.is_some());
        self.current.store(read?);
        Ok(())
    }

    /// Whether the chain's file has what is served.
    fn has_chain(&self) -> bool {
        read_chain(&self.paths.chain).is_ok_and(|chain| chain == self.current.load().cert)
    }

    fn state(&self, door: Carrier) -> CertificateState {
        let expires = self.current.load().end_entity_cert().ok().and_then(expiry);
        let failed = self.failed();
        CertificateState { door, expires, failures: failed.times, error: failed.last.clone() }
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a handshake that begins now is to use.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }
}

fn read(paths: &CertificatePaths) -> Result<CertifiedKey, CertificateError> {
    let CertificatePaths { chain, key } = paths;
    for path in [chain, key] {
        file_at(path).map_err(|why| CertificateError::of(path, pem::Error::Io(why)))?;
    }
    let certificates = read_chain(chain)?;
    if certificates.is_empty() {
        return Err(CertificateError::Empty(chain.clone()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| CertificateError::of(key, why))?;
    CertifiedKey::from_der(certificates, private, &default_provider()).map_err(|why| CertificateError::Pair {
        chain: chain.clone(),
        key: key.clone(),
        why,
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| CertificateError::of(path, why))
}

/// When a certificate ends (RFC 5280, section 4.1.2.5).
fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
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
        assert!(matches!(certificate.reload(), Err(CertificateError::Read { .. })));
        assert_eq!(&certificate.current().cert[0], first.cert.der());

        let state = certificate.state(Carrier::Tls);
        assert_eq!(state.failures, 3);
        assert!(state.error.unwrap().starts_with(&format!("{}: ", paths.chain.display())));

        write(&second);
        certificate.reload().unwrap();
        assert_eq!(&certificate.current().cert[0], second.cert.der());
        let state = certificate.state(Carrier::Tls);
        assert_eq!((state.failures, state.error), (3, None));
    }

    #[test]
    fn the_end_is_that_of_the_certificate_that_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let paths = CertificatePaths { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&paths.key, key.serialize_pem()).unwrap();
        let write = |year, month, day| {
            let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, month, day);
            std::fs::write(&paths.chain, parameters.self_signed(&key).unwrap().pem()).unwrap();
        };
        write(2026, 7, 12);
        let certificate = Certificate::open(paths.clone()).unwrap();
        assert_eq!(certificate.state(Carrier::Quic).expires, Some(1_783_814_400));
        // from the middle of the century on it is written with four digits (RFC 5280, section 4.1.2.5)
        write(2050, 1, 1);
        certificate.reload().unwrap();
        assert_eq!(certificate.state(Carrier::Quic).expires, Some(2_524_608_000));
        std::fs::write(&paths.chain, "junk").unwrap();
        assert!(certificate.reload().is_err());
        assert_eq!(certificate.state(Carrier::Quic).expires, Some(2_524_608_000));
    }
}
