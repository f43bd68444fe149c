//! The law of a sequence, tried with bytes cut in every way.
