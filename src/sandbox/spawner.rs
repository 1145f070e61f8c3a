//! Starts processes from one thread that lives as long as the sandbox.
//!
//! A process can ask to be killed when its parent dies, but the kernel means the *thread* that started it. A
//! worker of the async runtime may end at any time; this thread does not.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Order {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// The way to that thread. It ends with the last of these.
#[derive(Clone, Debug)]
pub(super) struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    pub(super) fn start() -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel::<Order>();
        thread::Builder::new().name("sandbox-spawner".to_owned()).spawn(move || {
            for mut order in incoming {
                let _runtime = order.runtime.enter();
                // Whoever ordered may have gone; then the child is killed with the answer.
                let _ = order.answer.send(order.command.kill_on_drop(false).spawn());
            }
        })?;
        Ok(Self { orders })
    }

    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (answer, child) = oneshot::channel();
        let gone = || io::Error::other("the spawner has ended");
        self.orders.send(Order { command, runtime: Handle::current(), answer }).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}
