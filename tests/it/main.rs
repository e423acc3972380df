//! Tests of the whole server from outside its rooms: answers by RFC section, packets, properties.

mod scenarios;
mod script;
mod wire;
mod world;
