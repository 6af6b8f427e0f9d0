//! runsv
