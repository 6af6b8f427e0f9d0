//! What the fuzz targets check: the same functions that `cargo test` checks with invented input.

#[path = "../../it/properties/rules.rs"]
pub mod rules;
