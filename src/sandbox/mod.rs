//! Runs a command with nothing it does not need.
