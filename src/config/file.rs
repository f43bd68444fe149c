//! From TOML to a checked [`Config`](super::Config).
