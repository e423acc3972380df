//! The doors without their sockets, bytes to bytes: for the fuzz targets, which have no network.
//!
//! Invariant: what is answered is what comes out of a socket to a client that sends all it has to say and then reads.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::control::{Control, Who};
use super::door::{Answers, Caller, House, Interface, converse};
use super::guard::{Guard, Peer};
use super::page::site::Site;
use super::page::{self, Public};
use super::{Limits, routes};
use crate::server::connections::{Connections, Entry};

/// What the page answers to all that a visitor sends.
pub fn page(public: Arc<dyn Public>, sent: &[u8]) -> Vec<u8> {
    answered(Site::new(page::Listen::default(), public, Vec::new()), Peer::Tcp, sent)
}

/// What the control interface answers to all that somebody sends: one whom the kernel knows, or a stranger over TCP.
pub fn control(control: Arc<dyn Control>, who: Option<Who>, sent: &[u8]) -> Vec<u8> {
    let router = routes::router(control, Limits::default().body);
    // nobody has a token
    let guard = Guard { hosts: Vec::new(), tokens: None };
    let answers = Interface { router, guard };
    answered(answers, who.map_or(Peer::Tcp, Peer::Unix), sent)
}

fn answered(answers: impl Answers, peer: Peer, sent: &[u8]) -> Vec<u8> {
    thread_local! {
        static RUNTIME: RefCell<Runtime> = RefCell::new(
            Builder::new_current_thread().enable_time().build().expect("a thread has an event loop"),
        );
    }
    let (_stop, stopped) = watch::channel(false);
    let house = House { answers, limits: Limits::default(), stop: stopped };
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Entry::Free(place) = Connections::new(1, 1).enter(client) else { return Vec::new() };
    let (mut near, far) = duplex(sent.len().max(PIPE));
    let conversation = converse(far, Caller { client, peer }, place, Rc::new(house));
    let exchange = async {
        let mut came = Vec::new();
        // whom the server ends the connection with need not have said everything
        let _ = near.write_all(sent).await;
        let _ = near.shutdown().await;
        let _ = near.read_to_end(&mut came).await;
        came
    };
    RUNTIME.with_borrow(|runtime| runtime.block_on(async { tokio::join!(conversation, exchange).1 }))
}

/// What may be under way in one direction, in bytes.
const PIPE: usize = 64 * 1024;
