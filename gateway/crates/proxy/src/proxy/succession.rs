//! How a proxy takes the place of another process's, and how it gives up its own.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
};

use ir::SocketKey;
use socket2::Socket;

use super::{Prepared, Proxy};
use crate::{
    listener::key_of,
    slots::{Count, Foreign, Keeper},
    worker::Command,
};

impl Proxy {
    /// Every listening socket, as an heir is to have it.
    pub fn listening(&self) -> impl Iterator<Item = (SocketKey, impl Iterator<Item = BorrowedFd<'_>>)> {
        self.sockets.iter().map(|(key, sockets)| (*key, sockets.descriptors()))
    }

    /// Takes over listening sockets of another process, for the listeners that the next configuration has there. Gives
    /// the others back: those that do not listen as ours do. To be called before the first [`Proxy::prepare`].
    pub fn adopt(&mut self, sockets: impl IntoIterator<Item = OwnedFd>) -> Vec<OwnedFd> {
        let mut strange = Vec::new();
        for socket in sockets.into_iter().map(Socket::from) {
            match key_of(&socket).filter(|_| socket.set_nonblocking(true).is_ok()) {
                Some(key) => self.adopted.entry(key).or_default().add(socket),
                None => strange.push(socket.into()),
            }
        }
        strange
    }

    /// Where a prepared configuration listens with adopted sockets.
    pub fn claimed(&self, prepared: &Prepared) -> Vec<SocketKey> {
        prepared.bound.keys().filter(|key| self.adopted.contains_key(key)).copied().collect()
    }

    /// Closes adopted sockets that no listener has, and says where they listened. What is queued there is reset, unless
    /// another process has them still.
    pub fn close_unclaimed(&mut self) -> Vec<SocketKey> {
        let adopted = std::mem::take(&mut self.adopted);
        adopted.into_keys().filter(|key| !self.sockets.has(key)).collect()
    }

    /// Stops accepting on these sockets, which a successor has too: what is queued there is left to it. When this
    /// returns nothing is accepted there any more.
    pub fn halt(&self, keys: &[SocketKey]) {
        let keys: Arc<[SocketKey]> = keys.into();
        self.send_to_all(|_| {
            let keys = Arc::clone(&keys);
            move |done| Command::Halt { keys, done }
        });
    }

    /// Undoes [`Proxy::halt`].
    pub fn resume(&self, keys: &[SocketKey]) {
        self.send_to_all(|worker| self.publication(worker, keys));
    }

    /// From now on a successor counts this process's connections too, and is asked and told. What it is to begin with.
    pub fn hand_over_counts(&self, keeper: Arc<dyn Keeper>) -> Vec<Count> {
        self.carry.hand_over(keeper)
    }

    /// Undoes [`Proxy::hand_over_counts`].
    pub fn take_back_counts(&self) {
        self.carry.take_back();
    }

    /// What a predecessor's connections are to be counted in.
    pub fn foreign(&self) -> Foreign {
        Foreign::new(&self.carry)
    }
}
