//! What the end-to-end tiers share: namespaces, the gateway as a process, an echo backend, and plain clients
//! that show every byte. Blocking sockets and threads: a test reads from top to bottom.

pub mod dial;
pub mod echo;
pub mod frame;
pub mod gateway;
pub mod http;
pub mod netns;
pub mod pinned;
pub mod supervisor;
pub mod unit;
pub mod wait;

/// True if a tier that needs rights must not be skipped: its name is in `GATEWAY_TEST_REQUIRE`.
pub fn required(tier: &str) -> bool {
    std::env::var("GATEWAY_TEST_REQUIRE").is_ok_and(|tiers| tiers.split(',').any(|name| name == tier))
}

/// True if namespaces can be made here. Where they cannot and are required, the test fails.
///
/// # Panics
///
/// Where `GATEWAY_TEST_REQUIRE` names `netns` and this is not root.
pub fn namespaces() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || !required("netns"), "GATEWAY_TEST_REQUIRE names netns, and this is not root");
    if !root {
        println!("skipped: network namespaces need root");
    }
    root
}
