//! Source files in, report out: pure, blocking, deterministic.
