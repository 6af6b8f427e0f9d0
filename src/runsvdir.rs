//! runsvdir
