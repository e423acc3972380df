//! infamy answers DNS queries about the reputation of addresses and names.
//!
//! Somebody lists addresses, domains or hashes; a mail server asks about one by writing it in front of a zone's name
//! (RFC 5782). This crate is everything in between, and the program is a thin frontend that calls [`cli::main`].
//!
//! # From a list to an answer
//!
//! - [`dnsxl`] is the vocabulary: names, subjects, keys of hash lists, the canonical form of URLs.
//! - [`feed`] parses list files, one format a file, and hands each statement on with its line.
//! - [`dataset`] takes the statements of a list's files and comes to one canonical form in which exclusions no longer
//!   exist. It is the unit of loading, of sharing between zones, and of keeping the last good.
//! - [`table`] is that form made dense: read-only lines of memory with two questions, *which value has this subject*
//!   and *is anything below this partial name*.
//! - [`live`] is what was added to a dataset or removed from it since: a layer over its table.
//! - [`evidence`] reads reports and list histories: who said what of which subject, and when.
//! - [`neighborhood`] is what surrounds an address, announced prefix, origin and guards, and the judgement of blocks by
//!   the evidence around them.
//! - [`zone`] is an apex, its SOA and NS, datasets in order, and who may ask; [`cookie`] is by what a client shows that it is
//!   where it says it is; [`snapshot`] is all zones of one generation, published with one pointer swap.
//! - [`answer`] decides what the answer is, bytes to bytes, and nothing else decides it.
//!
//! # Around it
//!
//! - [`reload`] loads what changed, keeps what was good, and makes the next generation.
//! - [`server`] opens the sockets and has queries answered; the only room with threads that serve.
//! - [`metrics`] tells what was counted there, as Prometheus reads it; [`query_log`] tells of single queries.
//! - [`http`] is the control interface, by which a running server is told what to do; both ends of it. Beside it, for
//!   anybody, is the lookup page.
//! - [`config`] reads a strict TOML file and comes to what these take.
//! - [`export`] writes a zone out as a standard master file.
//! - [`rbldnsd`] is the second way in: the command line of that program, for lists that are served by it now.
//! - [`cli`] is the commands: one file each.
//!
//! # Rules that hold throughout
//!
//! A room imports only those that stand before it here; a test reads the `use crate::` lines. Everything up to
//! [`answer`] knows no socket, no clock, no log and no event loop: time is an argument. hickory is known to one file.
//! Every number that limits something is a constant with a sentence.

pub mod dnsxl;
pub mod feed;
pub mod table;

pub mod dataset;
pub mod live;

pub mod evidence;
pub mod neighborhood;

pub mod zone;

pub mod cookie;

pub mod snapshot;

pub mod answer;

pub mod reload;
pub mod server;

pub mod metrics;
pub mod query_log;

pub mod http;

pub mod config;
pub mod export;
pub mod rbldnsd;

pub mod cli;
