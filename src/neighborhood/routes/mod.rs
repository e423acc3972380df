//! Routes: which announced prefix covers an address, and which ASN announces it.
//!
//! One flat array a family, sorted by first address and then length, so that a prefix stands before all it covers; each
//! route knows the one around it. A lookup finds the last route that begins at or before the address and walks
//! outwards: two prefixes are nested or apart, so the longest match is that route or one around it. Invariant: every
//! prefix stands once; a prefix with several origins (MOAS, RFC 1930 section 7) has the first one named as its own and
//! the others beside it.
//!
//! It does not weigh origins against each other, nor knows when a route was seen.

mod formats;

use std::path::Path;

use super::bits::Bits;
use crate::feed::{FileError, Skipped};

/// An announced prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<A> {
    /// The first address.
    pub first: A,
    /// The origin; of several, the one named first.
    pub asn: u32,
    /// The route around it, by index.
    around: u32,
    /// The prefix length.
    pub length: u8,
    /// Whether [`Routes::origins4`] or [`Routes::origins6`] has more than one.
    pub has_more_origins: bool,
    /// The country in two capitals where the file says one, else two zero bytes.
    pub country: [u8; 2],
}

/// An announced IPv4 prefix.
pub type Route4 = Route<u32>;
/// An announced IPv6 prefix.
pub type Route6 = Route<u128>;

impl<A: Bits> Route<A> {
    /// The last address.
    pub fn last(&self) -> A {
        self.first.last_of(self.length)
    }

    /// Whether the address is in the prefix.
    pub fn covers(&self, address: A) -> bool {
        address.masked(self.length) == self.first
    }

    /// The route around it, by index.
    pub fn around(&self) -> Option<usize> {
        (self.around != NONE).then_some(self.around as usize)
    }
}

/// All announced prefixes of a time.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    ip4: Family<u32>,
    ip6: Family<u128>,
}

impl Routes {
    /// The IPv4 routes, sorted by first address and length.
    pub fn routes4(&self) -> &[Route4] {
        &self.ip4.routes
    }

    /// The IPv6 routes, sorted by first address and length.
    pub fn routes6(&self) -> &[Route6] {
        &self.ip6.routes
    }

    /// The longest route of at most `max_length` bits that covers an address, by index.
    pub fn find4(&self, address: u32, max_length: u8) -> Option<usize> {
        self.ip4.find(address, max_length)
    }

    /// The longest route of at most `max_length` bits that covers an address, by index.
    pub fn find6(&self, address: u128, max_length: u8) -> Option<usize> {
        self.ip6.find(address, max_length)
    }

    /// All origins of an IPv4 route, its own first.
    pub fn origins4(&self, route: usize) -> impl Iterator<Item = u32> {
        self.ip4.origins(route)
    }

    /// All origins of an IPv6 route, its own first.
    pub fn origins6(&self, route: usize) -> impl Iterator<Item = u32> {
        self.ip6.origins(route)
    }

    /// Runs of announced /24s with one longest route of at most 24 bits: first and last /24 (an address shifted right
    /// by 8), and the route by index. Ascending and disjoint.
    pub fn runs_24(&self) -> impl Iterator<Item = (u32, u32, usize)> {
        Runs24 { routes: &self.ip4.routes, index: 0, open: Vec::new(), next: 0 }
    }

    /// Every announced /24 in ascending order (an address shifted right by 8), and the longest route of at most 24 bits
    /// that covers it, by index.
    pub fn each_24(&self) -> impl Iterator<Item = (u32, usize)> {
        self.runs_24().flat_map(|(first, last, route)| (first..=last).map(move |block| (block, route)))
    }
}

/// The routes of one address family.
#[derive(Clone, Debug)]
struct Family<A> {
    routes: Box<[Route<A>]>,
    /// By the first 16 bits of an address: how many routes begin before the first address with these bits.
    directory: Box<[u32]>,
    /// Origins besides the first: route by index, ASN; in the order named.
    more_origins: Box<[(u32, u32)]>,
}

impl<A> Default for Family<A> {
    fn default() -> Self {
        Self { routes: Box::default(), directory: Box::default(), more_origins: Box::default() }
    }
}

impl<A: Bits> Family<A> {
    fn build(mut announced: Vec<Announced<A>>) -> Self {
        // stable, so that of several origins the first named stays first
        announced.sort_by_key(|said| (said.first, said.length));
        let mut routes: Vec<Route<A>> = Vec::with_capacity(announced.len());
        let mut more_origins: Vec<(u32, u32)> = Vec::new();
        let mut around: Vec<u32> = Vec::new();
        for said in announced {
            if let Some(same) = routes.last_mut().filter(|last| (last.first, last.length) == (said.first, said.length))
            {
                let index = around.last().copied().unwrap_or(NONE);
                let begin = more_origins.partition_point(|&(route, _)| route < index);
                if same.asn != said.asn && !more_origins[begin..].contains(&(index, said.asn)) {
                    more_origins.push((index, said.asn));
                    same.has_more_origins = true;
                }
                if same.country == NO_COUNTRY {
                    same.country = said.country;
                }
                continue;
            }
            while around.last().is_some_and(|&outer| !routes[outer as usize].covers(said.first)) {
                around.pop();
            }
            let outer = around.last().copied().unwrap_or(NONE);
            around.push(routes.len() as u32);
            routes.push(Route {
                first: said.first,
                asn: said.asn,
                around: outer,
                length: said.length,
                has_more_origins: false,
                country: said.country,
            });
        }
        let mut directory = vec![0; DIRECTORY + 1];
        for route in &routes {
            directory[usize::from(route.first.top()) + 1] += 1;
        }
        for index in 0..DIRECTORY {
            directory[index + 1] += directory[index];
        }
        Self { routes: routes.into(), directory: directory.into(), more_origins: more_origins.into() }
    }

    fn find(&self, address: A, max_length: u8) -> Option<usize> {
        let top = usize::from(address.top());
        let (begin, end) = (*self.directory.get(top)? as usize, *self.directory.get(top + 1)? as usize);
        let within = self.routes[begin..end].partition_point(|route| route.first <= address);
        let mut found = (begin + within).checked_sub(1)?;
        loop {
            let route = &self.routes[found];
            if route.length <= max_length && route.covers(address) {
                return Some(found);
            }
            found = route.around()?;
        }
    }

    fn origins(&self, route: usize) -> impl Iterator<Item = u32> {
        let begin = self.more_origins.partition_point(|&(index, _)| (index as usize) < route);
        let more = self.more_origins[begin..].iter().take_while(move |&&(index, _)| index as usize == route);
        self.routes.get(route).map(|route| route.asn).into_iter().chain(more.map(|&(_, asn)| asn))
    }
}

/// The sweep behind [`Routes::runs_24`].
struct Runs24<'r> {
    routes: &'r [Route4],
    /// The route that comes next.
    index: usize,
    /// The routes around the current place, the longest last.
    open: Vec<usize>,
    /// The /24 that comes next.
    next: u32,
}

impl Iterator for Runs24<'_> {
    type Item = (u32, u32, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.routes.get(self.index).is_some_and(|route| route.length > 24) {
                self.index += 1;
            }
            let begins = self.routes.get(self.index).map(|route| route.first >> 8);
            let around = self.open.last().map(|&index| (index, self.routes[index].last() >> 8));
            let begin = self.next;
            match (begins, around) {
                (Some(first), Some((route, last))) if first <= last => {
                    self.open.push(self.index);
                    self.index += 1;
                    self.next = first;
                    if begin < first {
                        return Some((begin, first - 1, route));
                    }
                }
                (_, Some((route, last))) => {
                    self.open.pop();
                    self.next = last + 1;
                    if begin <= last {
                        return Some((begin, last, route));
                    }
                }
                (Some(first), None) => {
                    self.open.push(self.index);
                    self.index += 1;
                    self.next = first;
                }
                (None, None) => return None,
            }
        }
    }
}

/// One origin of one prefix, as a file says it.
#[derive(Clone, Copy, Debug)]
struct Announced<A> {
    first: A,
    asn: u32,
    length: u8,
    country: [u8; 2],
}

/// Takes route files, one after the other, and comes to [`Routes`].
#[derive(Debug, Default)]
pub struct RoutesBuilder {
    ip4: Vec<Announced<u32>>,
    ip6: Vec<Announced<u128>>,
    /// The lines that were left out.
    pub skipped: Skipped,
}

impl RoutesBuilder {
    /// Parses a file in any of the known formats, which are told line by line: `prefix asn`, CAIDA's pfx2as
    /// (`address length asn`, several origins with `_` or `,` between them), `first last asn [country] [name]` with tabs
    /// as iptoasn has it or with commas; or a database in MaxMind's format. ASN 0 is "not announced".
    ///
    /// # Errors
    ///
    /// The file cannot be read to its end. A wrong line is left out and stands in [`Self::skipped`].
    pub fn parse_file(&mut self, path: &Path) -> Result<(), FileError> {
        formats::parse_file(path, self)
    }

    /// Parses routes in memory; as [`Self::parse_file`].
    ///
    /// # Errors
    ///
    /// The bytes begin as a compressed file that cannot be inflated.
    pub fn parse_bytes(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        formats::parse_bytes(bytes, self)
    }

    /// Builds the routes.
    pub fn build(self) -> Routes {
        Routes { ip4: Family::build(self.ip4), ip6: Family::build(self.ip6) }
    }
}

/// Stands for no route.
const NONE: u32 = u32::MAX;
/// Stands for no country.
const NO_COUNTRY: [u8; 2] = [0; 2];
/// How many values the first 16 bits of an address have.
const DIRECTORY: usize = 1 << 16;

#[cfg(test)]
mod tests;
