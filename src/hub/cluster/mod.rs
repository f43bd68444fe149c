//! Rooms that span several gateways.
#![allow(dead_code)]

mod entry;
mod id;
mod ledger;
