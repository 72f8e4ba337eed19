//! The user half of what runs in the kernel: finds the object file, loads it, attaches and pins its programs,
//! keeps its maps at what the configuration asks for, and reads its counters.
//!
//! [`Kernel`] is the whole public face, and speaks of interfaces, addresses and limits. Pins outlive the process:
//! after a crash the kernel goes on counting and refusing, and the next process takes the same maps over.

mod call;
mod cgroup;
mod counters;
mod counting;
mod driver;
mod earlier;
mod error;
mod inspection;
mod interface;
mod kernel;
mod limits;
mod netns;
mod networks;
mod object;
mod pins;
mod policy;
mod reset;
mod row;
mod rows;
mod slots;
mod sockets;
mod sources;

pub use counters::{Counters, Refusals};
pub use error::Error;
pub use inspection::{CountLine, Inspection, LimitLine, LinkLine, MapLine, Place, inspect, remove};
pub use interface::{Hook, Interfaces, Tier};
pub use kernel::{Kernel, Options, can_read_headers};
pub use limits::{Limit, Limits, QuotaId};
pub use networks::Networks;
pub use pins::clean;
pub use policy::{Policy, PrefixLimit, Proxied, Rate};
pub use reset::{Correction, Counted, reset};
pub use sources::{Header, Sources};
