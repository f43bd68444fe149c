//! Everything that is wrong with a configuration, all at once.
