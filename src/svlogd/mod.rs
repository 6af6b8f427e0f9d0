//! svlogd
