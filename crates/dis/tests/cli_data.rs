//! `dis data` through the real binary: downloads from a server of the test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod data;
