use std::{
    io,
    os::fd::OwnedFd,
    rc::Rc,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{Builder, JoinHandle},
};

use ir::SocketKey;
use tokio::{
    runtime::Runtime,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::LocalSet,
};

use super::{Farewell, Worker};
use crate::{
    access_log,
    carry::Carry,
    snapshot::{Held, Snapshot},
};

/// What the main thread asks of a worker. Answers come by `done`, which is dropped if the worker dies.
pub(crate) enum Command {
    /// Serve this snapshot, and accept on these sockets too.
    Publish {
        /// The new configuration.
        snapshot: Arc<Snapshot>,
        /// This worker's own descriptors of sockets that listen already.
        opened: Vec<(SocketKey, OwnedFd)>,
        /// Told once every request from now on sees the snapshot.
        done: Sender<()>,
    },
    /// Accept what is queued on these sockets, then close them.
    Close(Vec<SocketKey>),
    /// Accept no more on these sockets, whatever is queued.
    Halt {
        /// Which.
        keys: Arc<[SocketKey]>,
        /// Told once no further connection is accepted there.
        done: Sender<()>,
    },
    /// Answer.
    Ping {
        /// Told at once.
        done: Sender<()>,
    },
    /// Accept what is queued everywhere, finish every request.
    Drain {
        /// How connections are told.
        farewell: Farewell,
        /// Told when the last connection is closed.
        done: Sender<()>,
    },
    /// Cut what is left.
    Stop,
}

/// The main thread's hold on a worker.
pub(crate) struct WorkerThread {
    commands: UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerThread {
    /// Starts worker `index`. It inherits the CPU affinity of the caller and never widens it.
    pub(crate) fn start(
        index: usize,
        carry: Arc<Carry>,
        access_log: access_log::Writer,
        snapshot: Arc<Snapshot>,
    ) -> io::Result<Self> {
        let (commands, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = Builder::new().name(format!("worker-{index}")).spawn(move || {
            let worker = Worker::new(carry, access_log, Held::new(snapshot));
            run(runtime, worker, inbox);
        })?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Sends a command. A worker that has died drops it, which the `done` in it tells.
    pub(crate) fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// A way to find out whether it answers.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse { commands: self.commands.clone() }
    }
}

/// Finds out whether a worker answers: its event loop has to come round for that.
#[derive(Clone)]
pub struct Pulse {
    commands: UnboundedSender<Command>,
}

impl Pulse {
    /// Asks. The answer comes by the receiver; it is closed if the worker has ended.
    pub fn ask(&self) -> Receiver<()> {
        let (done, answer) = channel();
        let _ = self.commands.send(Command::Ping { done });
        answer
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a worker thread has panicked");
        }
    }
}

fn run(runtime: Runtime, worker: Rc<Worker>, inbox: UnboundedReceiver<Command>) {
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, obey(worker, inbox));
    // Within the runtime, so that sockets and timers of the tasks that are cut can deregister.
    let _context = runtime.enter();
    drop(tasks);
}

async fn obey(worker: Rc<Worker>, mut inbox: UnboundedReceiver<Command>) {
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Publish { snapshot, opened, done } => {
                worker.publish(Held::new(snapshot));
                for (key, socket) in opened {
                    worker.open(key, socket);
                }
                let _ = done.send(());
            }
            Command::Close(keys) => keys.iter().for_each(|key| worker.close(key)),
            Command::Halt { keys, done } => {
                worker.halt(&keys);
                let _ = done.send(());
            }
            Command::Ping { done } => {
                let _ = done.send(());
            }
            Command::Drain { farewell, done } => {
                worker.drain(farewell);
                let worker = Rc::clone(&worker);
                tokio::task::spawn_local(async move {
                    worker.idle().await;
                    let _ = done.send(());
                });
            }
            Command::Stop => return,
        }
    }
}
