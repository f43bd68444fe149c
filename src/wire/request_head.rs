//! Stub until the branch lands.
