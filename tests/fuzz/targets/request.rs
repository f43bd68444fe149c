//! Any text of a chat's client, and any fields of each request: a request as the text has it, or a code that stays.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| wsgate::try_requests(bytes));
