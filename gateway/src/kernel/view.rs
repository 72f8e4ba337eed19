use ir::Bind;

use super::{board::Board, limits};

/// What the kernel half does at any moment, to be asked from any thread.
#[derive(Clone, Debug)]
pub(crate) struct View(Board);

impl View {
    /// Of what is shown.
    pub(super) fn new(board: &Board) -> Self {
        Self(board.clone())
    }

    /// What enforces limits on each interface: `xdp`, `tc`, `accept`.
    pub(crate) fn tiers(&self) -> Vec<(String, &'static str)> {
        self.0.tiers()
    }

    /// Connections of a port that the kernel counts; `None`: it does not.
    pub(crate) fn open(&self, bind: &Bind) -> Option<u64> {
        self.0.open(limits::quota(bind))
    }
}
