//! Any text as a configuration: it is read, or there is a problem that says something.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = wsgate::Config::parse(text, "fuzz.toml", Path::new("/nowhere")) {
        assert!(!problems.to_string().is_empty());
    }
});
