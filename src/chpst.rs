//! chpst
