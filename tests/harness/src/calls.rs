//! Calls one address again and again, and remembers who answered; each pod that is called says its name and nothing else.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::node::{Node, inside};

/// Between two calls.
const PERIOD: Duration = Duration::from_millis(5);
/// For a connection. The kernel would ask again after a second only.
const CONNECT: Duration = Duration::from_millis(200);
/// For an answer.
const READ: Duration = Duration::from_secs(2);

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Just before it was asked for.
    pub begun: Instant,
    /// When it was known what became of it.
    pub ended: Instant,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Whoever said this name.
    Answered(String),
    /// At once, by whoever there is.
    Refused,
    /// Neither made nor refused within 200 ms.
    Silent,
    /// It was made, or would have been, and then something else happened.
    Broken(String),
}

/// Who was named from when on, in order; nobody's name is empty.
pub type Named = Vec<(Instant, String)>;

/// Calls from a node, until it is dropped.
#[derive(Debug)]
pub struct Caller {
    calls: Arc<Mutex<Vec<Call>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Caller {
    /// Calls `address` from the node, 200 times a second at most, from now on.
    ///
    /// # Errors
    /// When the node is gone.
    pub fn start(node: &Node, address: SocketAddr) -> Result<Caller> {
        let (calls, ended) = (Arc::<Mutex<Vec<Call>>>::default(), Arc::<AtomicBool>::default());
        let (kept, told) = (Arc::clone(&calls), Arc::clone(&ended));
        let thread = inside(&node.network(), move || {
            while !told.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let outcome = call(address);
                lock(&kept).push(Call { begun, ended: Instant::now(), outcome });
                thread::sleep(PERIOD);
            }
            Ok(())
        })?;
        Ok(Caller { calls, ended, thread: Some(thread) })
    }

    /// Those that began since.
    pub fn calls(&self, since: Instant) -> Vec<Call> {
        let calls = lock(&self.calls);
        let first = calls.partition_point(|call| call.begun < since);
        calls[first..].to_vec()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Without calls, a test fails by itself.
            let _ = thread.join();
        }
    }
}

impl Call {
    /// Who answered.
    pub fn by(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered(by) => Some(by),
            Outcome::Refused | Outcome::Silent | Outcome::Broken(_) => None,
        }
    }

    /// How far it was from a time at which whoever answered was the one who was named: before it began, or after it ended.
    /// `None` if nobody answered.
    pub fn astray(&self, named: &Named) -> Option<Duration> {
        let by = self.by()?;
        let ends = named.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        let reigns = named.iter().zip(ends).filter(|((_, name), _)| name == by).map(|((from, _), to)| (*from, to));
        let distance = |(from, to): (Instant, Option<Instant>)| {
            let after = to.map(|to| self.begun.saturating_duration_since(to)).unwrap_or_default();
            after.max(from.saturating_duration_since(self.ended))
        };
        Some(reigns.map(distance).min().unwrap_or(Duration::MAX))
    }
}

/// Calls `address` once from a network namespace, such as a pod's. Blocks.
///
/// # Errors
/// When there is no such namespace.
pub fn call_from(namespace: &Path, address: SocketAddr) -> Result<Outcome> {
    let calling = inside(namespace, move || Ok(call(address)))?;
    calling.join().map_err(|_| anyhow!("the calling thread panicked"))?
}

fn call(address: SocketAddr) -> Outcome {
    match answer(address) {
        Ok(name) if name.is_empty() => Outcome::Broken("closed without an answer".to_owned()),
        Ok(name) => Outcome::Answered(name),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Outcome::Refused,
            io::ErrorKind::TimedOut => Outcome::Silent,
            _ => Outcome::Broken(error.to_string()),
        },
    }
}

fn answer(address: SocketAddr) -> io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, CONNECT)?;
    connection.set_read_timeout(Some(READ))?;
    let mut name = String::new();
    connection.read_to_string(&mut name)?;
    Ok(name.trim().to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_far_astray_as_it_is_from_who_was_named() {
        let zero = Instant::now();
        let at = |second: u64| zero + Duration::from_secs(second);
        let named: Named = [(10, "a"), (20, ""), (21, "b"), (30, "a")].map(|(from, who)| (at(from), who.into())).into();
        let astray = |from, to, by: &str| {
            let call = Call { begun: at(from), ended: at(to), outcome: Outcome::Answered(by.to_owned()) };
            call.astray(&named).map(|far| far.as_secs())
        };
        assert_eq!(astray(10, 12, "a"), Some(0));
        assert_eq!(astray(19, 25, "a"), Some(0), "it was named when the call began");
        assert_eq!(astray(22, 23, "a"), Some(2));
        assert_eq!(astray(26, 27, "a"), Some(3), "it was to be named soon");
        assert_eq!(astray(31, 40, "a"), Some(0), "nobody else was named since");
        assert_eq!(astray(5, 6, "a"), Some(4));
        assert_eq!(astray(33, 34, "b"), Some(3));
        assert_eq!(astray(22, 23, "c"), Some(Duration::MAX.as_secs()));
        let refused = Call { begun: at(1), ended: at(2), outcome: Outcome::Refused };
        assert_eq!(refused.astray(&named), None);
    }
}
