//! Shared.
#![no_std]

pub mod proxy_protocol;
