//! The only way from a node to the API server: connections to an address of the node's network are passed on.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// A thread of its own, as a node may outlive the runtime of the test that started it.
#[derive(Debug)]
pub(super) struct Link {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// From `address` in the network namespace to `target` outside.
    pub(super) fn open(namespace: &Path, address: SocketAddr, target: SocketAddr) -> Result<Link> {
        let listener = listen(namespace, address).with_context(|| format!("failed to listen on {address}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = pass_on(listener, target) => {}
                }
            });
        });
        Ok(Link { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic about.
            let _ = thread.join();
        }
    }
}

/// Does something on a thread in a network namespace. The sockets that it makes belong there for ever.
///
/// # Errors
/// When there is no such namespace; the thread, when root may not enter it, and as `work`.
pub fn inside<T: Send + 'static>(
    namespace: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Result<T>>> {
    let namespace = File::open(namespace)?;
    Ok(thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    }))
}

fn listen(namespace: &Path, address: SocketAddr) -> Result<TcpListener> {
    let listening = inside(namespace, move || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    listening.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the listening thread panicked")))
}

async fn pass_on(listener: TcpListener, target: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut near, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Whoever refuses or breaks off on one side is seen on the other by the end of the connection.
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
