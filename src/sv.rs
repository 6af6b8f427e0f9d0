//! sv
