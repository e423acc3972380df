//! The handshakes of the encrypted doors: which versions, protocol and certificate (RFC 7858, section 3.2; RFC 8484,
//! section 5.2; RFC 9250, section 4.1).
//!
//! Invariant: every handshake gets the certificate of the moment that it began in. Clients prove nothing, and nothing is
//! accepted before the handshake is done (no early data), so that no query can be replayed.
//!
//! A handshake costs its thread far more than a query does. How many are under way is bounded, as they are connections;
//! how many come in a second is not, and a flood of them slows this door, but no other.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::certificate::Certificate;
use crate::server::stream::Underlay;

/// What makes encrypted connections for one protocol of accepted ones.
pub(super) fn acceptor(certificate: Arc<Certificate>, protocol: &[u8]) -> Result<TlsAcceptor, rustls::Error> {
    Ok(TlsAcceptor::from(Arc::new(config(certificate, protocol, rustls::DEFAULT_VERSIONS)?)))
}

/// The same without the accepted connections: what QUIC makes its own of.
pub(super) fn config(
    certificate: Arc<Certificate>,
    protocol: &[u8],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(versions)?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(certificate);
    // a client that offers other protocols alone is refused; over TCP one that offers none is not
    config.alpn_protocols = vec![protocol.to_vec()];
    config.max_early_data_size = 0;
    Ok(config)
}

impl Underlay for TlsAcceptor {
    type Stream = TlsStream<TcpStream>;

    async fn open(&self, accepted: TcpStream) -> io::Result<Self::Stream> {
        self.accept(accepted).await
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// The registered name of DNS over TLS.
pub(super) const DOT: &[u8] = b"dot";

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::{Duration, Instant};

    use rcgen::{CertifiedKey, KeyPair};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
    use tempfile::TempDir;

    use crate::server::hickory::Decide;
    use crate::server::observe::Respond;
    use crate::server::tests::{
        InOneStep, PATIENCE, closes_while_dripped, echo, framed, no_decision, of_all_doors, published, receive, reply,
        send,
    };
    use crate::server::{Carrier, CertificatePaths, Encrypted, Limits, Listen, Observer, Running, bind};

    use super::*;

    #[test]
    fn the_protocol_is_agreed_upon_and_no_other_is() {
        let server = echoing(Limits::default());
        let mut client = server.connect();
        send(&mut client, b"dot");
        assert_eq!(receive(&mut client).unwrap(), b"dot");
        assert_eq!(client.conn.alpn_protocol(), Some(DOT));
        let mut other = server.connect_for(&server.certified, b"http/1.1");
        assert!(other.write_all(&framed(b"GET")).is_err());
    }

    #[test]
    fn pipelined_queries_are_answered_in_order_and_one_can_be_the_longest() {
        let server = echoing(Limits::default());
        let mut client = server.connect();
        for _ in 0..5 {
            let queries: Vec<u8> = (0..500_u16).flat_map(|number| framed(&number.to_be_bytes().repeat(4))).collect();
            client.write_all(&queries).unwrap();
            for number in 0..500_u16 {
                assert_eq!(receive(&mut client).unwrap()[..2], number.to_be_bytes());
            }
        }
        let longest = vec![0xff; 65_535];
        send(&mut client, &longest);
        assert_eq!(receive(&mut client).unwrap(), longest);
    }

    #[test]
    fn a_new_certificate_is_for_new_connections_and_the_old_ones_stay() {
        let server = echoing(Limits::default());
        let mut before = server.connect();
        send(&mut before, b"before");
        assert_eq!(receive(&mut before).unwrap(), b"before");
        let second = certify(&server.folder);
        server.running.certificates().reload().unwrap();
        let mut after = server.connect_for(&second, DOT);
        send(&mut after, b"after");
        assert_eq!(receive(&mut after).unwrap(), b"after");
        send(&mut before, b"still");
        assert_eq!(receive(&mut before).unwrap(), b"still");
    }

    #[test]
    fn the_connection_idle_longest_makes_room_and_one_client_has_its_share() {
        let server = echoing(Limits { connections: 2, ..Limits::default() });
        let mut clients = [0, 1].map(|_| server.connect());
        for at in [1, 0] {
            send(&mut clients[at], b"active");
            receive(&mut clients[at]).unwrap();
        }
        let mut third = server.connect();
        send(&mut third, b"newest");
        assert_eq!(receive(&mut third).unwrap(), b"newest");
        assert_eq!(receive(&mut clients[1]), None);
        send(&mut clients[0], b"still there");
        assert_eq!(receive(&mut clients[0]).unwrap(), b"still there");
        assert_eq!(of_all_doors(&server.running, crate::server::Counters::evicted_connections), 1);

        let server = echoing(Limits { connections_per_client: 1, ..Limits::default() });
        let mut first = server.connect();
        send(&mut first, b"mine");
        receive(&mut first).unwrap();
        let mut second = server.connect();
        assert!(second.write_all(&framed(b"mine too")).is_err());
        send(&mut first, b"mine");
        assert_eq!(receive(&mut first).unwrap(), b"mine");
        let refused = server.running.counters().each().filter(|(_, counters)| counters.refused_connections() > 0);
        assert_eq!(refused.map(|(carrier, _)| carrier).collect::<Vec<_>>(), [Carrier::Tls], "and no other door");
    }

    #[test]
    fn single_bytes_do_not_keep_a_handshake() {
        let server = echoing(Limits { idle: Duration::from_millis(200), ..Limits::default() });
        let mut slow = server.connect_raw();
        // the head of a handshake message of 16 000 bytes, and then 20 s of them
        slow.write_all(&[22, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c]).unwrap();
        closes_while_dripped(&mut slow, 0);
    }

    #[test]
    fn an_idle_connection_is_closed_and_told_so() {
        // long enough for a handshake on a machine with much else to do
        let server = echoing(Limits { idle: Duration::from_secs(1), ..Limits::default() });
        let mut client = server.connect();
        send(&mut client, b"once");
        receive(&mut client).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_client_that_never_reads_is_closed() {
        let limits = Limits { idle: Duration::from_secs(1), ..Limits::default() };
        let respond = |_: &_, _: &[u8], _, _, _, out: &mut [u8]| reply(&[0; 60_000], out);
        let server = Server::start(limits, None, InOneStep(respond), no_decision);
        let mut client = server.connect();
        client.sock.set_write_timeout(Some(PATIENCE)).unwrap();
        let query = framed(b"much").repeat(1000);
        // endless but for the server's close: first both sides' buffers fill up, then the writes fail
        while client.write_all(&query).is_ok() {}
    }

    #[test]
    fn the_drain_answers_all_pipelined_queries_that_have_arrived() {
        let server = echoing(Limits::default());
        let mut client = server.connect();
        send(&mut client, b"first");
        receive(&mut client).unwrap();
        client.write_all(&framed(&[5; 10]).repeat(1000)).unwrap();
        // neither this one nor the other keeps the server from its end
        let silent = server.connect_raw();
        let start_of_end = Instant::now();
        server.running.shutdown();
        assert!(start_of_end.elapsed() < Limits::default().idle / 2, "{:?}", start_of_end.elapsed());
        drop(silent);
        for _ in 0..1000 {
            assert_eq!(receive(&mut client).unwrap(), [5; 10]);
        }
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    /// A server that sends back what hickory is not given: all messages here are short of a header, or responses.
    fn echoing(limits: Limits) -> Server {
        Server::start(limits, None, InOneStep(echo), no_decision)
    }

    /// The encrypted doors on loopback, with a new certificate.
    pub(in crate::server) struct Server {
        pub(in crate::server) running: Running,
        pub(in crate::server) certified: CertifiedKey<KeyPair>,
        pub(in crate::server) folder: TempDir,
    }

    impl Server {
        pub(in crate::server) fn start(
            limits: Limits,
            observer: Option<Arc<dyn Observer>>,
            respond: impl Respond,
            decide: impl Decide,
        ) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let certified = certify(&folder);
            let certificate = CertificatePaths { chain: folder.path().join("chain"), key: folder.path().join("key") };
            let door = Encrypted { addresses: vec![(Ipv4Addr::LOCALHOST, 0).into()], certificate };
            let [encrypted, https, quic] = [0; 3].map(|_| Some(door.clone()));
            let bound = bind(&Listen { encrypted, https, quic, limits, ..Listen::default() }).unwrap();
            let running = bound.run_with(published(), observer, respond, decide).unwrap();
            Self { running, certified, folder }
        }

        /// A client that trusts the first certificate.
        pub(in crate::server) fn connect(&self) -> Client {
            self.connect_for(&self.certified, DOT)
        }

        /// A client that trusts this one certificate, and offers this one protocol.
        fn connect_for(&self, certified: &CertifiedKey<KeyPair>, protocol: &[u8]) -> Client {
            let config = Arc::new(trusting(certified, &[protocol]));
            let name = ServerName::try_from("localhost").unwrap();
            StreamOwned::new(ClientConnection::new(config, name).unwrap(), self.connect_raw())
        }

        /// A connection before its handshake.
        fn connect_raw(&self) -> TcpStream {
            let stream = TcpStream::connect(self.running.encrypted_addresses()[0]).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        }
    }

    pub(in crate::server) type Client = StreamOwned<ClientConnection, TcpStream>;

    /// What a client has that trusts this one certificate, and offers these protocols.
    pub(in crate::server) fn trusting(certified: &CertifiedKey<KeyPair>, protocols: &[&[u8]]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// Writes a new self-signed certificate and its key into the folder.
    pub(in crate::server) fn certify(folder: &TempDir) -> CertifiedKey<KeyPair> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("chain"), certified.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key"), certified.signing_key.serialize_pem()).unwrap();
        certified
    }
}
