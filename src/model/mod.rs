//! The nouns, without IO.
