//! What the fuzz targets check: laws that hold whatever the bytes are.

mod feeds;
mod packets;
mod world;

pub use feeds::{feed, load};
pub use packets::packet;
