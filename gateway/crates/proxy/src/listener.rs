mod port;
mod sockets;

pub(crate) use port::Port;
pub use sockets::BindError;
pub(crate) use sockets::{Bound, Sockets, key_of};
