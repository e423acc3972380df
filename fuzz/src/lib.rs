//! What the fuzz targets check: laws that hold whatever the bytes are.

mod compiled;
mod doors;
mod feeds;
#[path = "../../tests/it/hostile.rs"]
mod hostile;
mod messages;
mod packets;
mod world;

pub use compiled::open;
pub use doors::http;
pub use feeds::{feed, load};
pub use messages::{message, object};
pub use packets::packet;
