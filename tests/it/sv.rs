//! sv(8), black-box.
