//! runsvdir_user
