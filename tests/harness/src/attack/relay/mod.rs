//! The network between one agent and the API server: a TCP relay on loopback whose faults are switched while it runs.
//!
//! TLS goes through it untouched. What it carries is bytes, so a fault hits whatever is on its way in that moment.

mod state;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::state::State;
pub use self::state::{Cut, Direction, Flow};

/// The end of a stream is passed on so much later: a server that hears of it at once gives up what it was just asked.
const END_AFTER: Duration = Duration::from_millis(500);
/// What it keeps of one direction of one connection, at most and roughly; then it reads no more.
const MOST: usize = 4 << 20;

/// A relay, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    state: watch::Sender<State>,
    address: SocketAddr,
}

/// Of what tests play beside the agents: whatever a test's own runtime does, this goes on.
pub(super) fn background() -> Result<&'static Runtime> {
    static RUNTIME: LazyLock<io::Result<Runtime>> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build());
    RUNTIME.as_ref().map_err(|error| anyhow!("failed to make a runtime: {error}"))
}

impl Relay {
    /// A relay that passes everything on to `server`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn to(server: SocketAddr) -> Result<Relay> {
        let (state, states) = watch::channel(State::default());
        let served = background()?.spawn(async move {
            let listener = bind().await?;
            let address = listener.local_addr()?;
            tokio::spawn(serve(listener, address, server, states));
            anyhow::Ok(address)
        });
        Ok(Relay { state, address: served.await.context("the relay's runtime is gone")?? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, in one direction, also for the connections that there are.
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.state.send_modify(|state| state.set(direction, flow));
    }

    /// The same, by somebody who does not know what others do here: only if everything passes now. What [`Relay::calm`] needs.
    pub fn disturb(&self, direction: Direction, flow: Flow) -> Option<u64> {
        let mut settings = None;
        self.state.send_modify(|state| {
            if state.passes() {
                state.set(direction, flow);
                settings = Some(state.settings);
            }
        });
        settings
    }

    /// Takes back what was disturbed, unless somebody has set something since.
    pub fn calm(&self, settings: u64) {
        self.state.send_modify(|state| {
            if state.settings == settings {
                state.heal();
            }
        });
    }

    /// The same in both directions.
    pub fn set_both(&self, flow: Flow) {
        self.state.send_modify(|state| {
            state.set(Direction::ToServer, flow);
            state.set(Direction::ToAgent, flow);
        });
    }

    /// Whether it refuses new connections. Those that there are go on.
    pub fn refuse(&self, refusing: bool) {
        self.state.send_modify(|state| {
            state.refusing = refusing;
            state.settings += 1;
        });
    }

    /// Ends the connections that there are. New ones are carried.
    pub fn cut(&self, cut: Cut) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.cut = cut;
        });
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.state.send_modify(State::heal);
    }
}

/// Below the ports that Linux takes for outgoing connections: the relay gives up its port while it refuses.
async fn bind() -> Result<TcpListener> {
    for _ in 0..100 {
        let port = 20_000 + u16::try_from(getrandom::u32()? % 12_000)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener);
        }
    }
    bail!("failed to find a free port on 127.0.0.1 between 20000 and 31999")
}

async fn serve(listener: TcpListener, address: SocketAddr, server: SocketAddr, mut states: watch::Receiver<State>) {
    let mut listener = Some(listener);
    loop {
        if states.borrow_and_update().refusing {
            listener = None;
        } else if listener.is_none() {
            match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                // An outgoing connection of that port may linger.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
        let accept = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None if states.borrow().refusing => std::future::pending().await,
                None => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        let mut changes = states.clone();
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            accepted = accept => if let Ok((agent, _)) = accepted {
                tokio::spawn(carry(agent, server, states.clone()));
            }
        }
    }
}

async fn carry(mut agent: TcpStream, server: SocketAddr, mut states: watch::Receiver<State>) {
    let cuts = states.borrow_and_update().cuts;
    let Ok(mut server) = TcpStream::connect(server).await else { return reset(agent) };
    let cut = {
        let (agent_reads, agent_writes) = agent.split();
        let (server_reads, server_writes) = server.split();
        let (requests, answers) = (states.clone(), states.clone());
        let both = async {
            tokio::join!(
                pump(agent_reads, server_writes, requests, Direction::ToServer),
                pump(server_reads, agent_writes, answers, Direction::ToAgent)
            )
        };
        tokio::select! {
            _ = both => return,
            changed = states.wait_for(|state| state.cuts != cuts) => match changed {
                Ok(state) => state.cut,
                Err(_) => return,
            },
        }
    };
    match cut {
        Cut::Reset => {
            reset(agent);
            reset(server);
        }
        Cut::ServerSide => {
            reset(server);
            swallow(agent, states).await;
        }
        Cut::AgentSide => {
            reset(agent);
            swallow(server, states).await;
        }
    }
}

fn reset(stream: TcpStream) {
    // Without it, what is left unsent is sent first, and the other side sees an orderly end.
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// Until it closes, or the relay ends.
async fn swallow(mut stream: TcpStream, mut states: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            read = stream.read(&mut buffer) => if matches!(read, Ok(0) | Err(_)) { return },
        }
    }
}

/// What is on its way: when it was read, and what it is. Nothing stands for the end of the stream.
type Piece = (Instant, Vec<u8>);

/// Carries one direction of a connection, until its end was passed on, or cannot be.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut states: watch::Receiver<State>, direction: Direction) {
    let mut kept: VecDeque<Piece> = VecDeque::new();
    let mut size = 0;
    let (mut ended, mut lost) = (false, false);
    let mut buffer = vec![0; 16 << 10];
    loop {
        let flow = states.borrow_and_update().flow(direction);
        if flow == Flow::Drop && !kept.is_empty() {
            kept.clear();
            lost = true;
        }
        let due = |(at, bytes): &Piece| {
            let end = if bytes.is_empty() { END_AFTER } else { Duration::ZERO };
            match flow {
                Flow::Pass => Some(*at + end),
                Flow::Delay(by) => Some(*at + by + end),
                Flow::Hold | Flow::Freeze | Flow::Drop => None,
            }
        };
        let due = kept.front().and_then(due);
        tokio::select! {
            biased;
            changed = states.changed() => if changed.is_err() { return },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let Some((_, bytes)) = kept.pop_front() else { continue };
                size -= bytes.len();
                let written = if bytes.is_empty() { to.shutdown().await } else { to.write_all(&bytes).await };
                if written.is_err() || bytes.is_empty() {
                    return;
                }
            }
            read = from.read(&mut buffer), if !ended && flow != Flow::Freeze && size < MOST => {
                // A reset is an end, too.
                let bytes = &buffer[..read.unwrap_or(0)];
                ended = bytes.is_empty();
                lost |= flow == Flow::Drop;
                if !lost {
                    size += bytes.len();
                    kept.push_back((Instant::now(), bytes.to_vec()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(2);
    const WHILE: Duration = Duration::from_millis(100);

    struct Line {
        relay: Relay,
        listener: TcpListener,
    }

    struct Call {
        agent: TcpStream,
        server: TcpStream,
    }

    impl Line {
        async fn new() -> Line {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let relay = Relay::to(listener.local_addr().unwrap()).await.unwrap();
            Line { relay, listener }
        }

        async fn call(&self) -> Call {
            let agent = TcpStream::connect(self.relay.address()).await.unwrap();
            let (server, _) = timeout(SOON, self.listener.accept()).await.unwrap().unwrap();
            Call { agent, server }
        }
    }

    async fn hears(stream: &mut TcpStream, text: &str) -> Duration {
        let begun = Instant::now();
        let mut heard = vec![0; text.len()];
        timeout(SOON, stream.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, text.as_bytes());
        begun.elapsed()
    }

    async fn hears_nothing(stream: &mut TcpStream) {
        let heard = timeout(WHILE, stream.read(&mut [0])).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    async fn is_reset(stream: &mut TcpStream) {
        let heard = timeout(SOON, stream.read(&mut [0])).await.unwrap();
        assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_so_does_the_end() {
        let line = Line::new().await;
        let Call { mut agent, mut server } = line.call().await;
        agent.write_all(b"get").await.unwrap();
        hears(&mut server, "get").await;
        server.write_all(b"200").await.unwrap();
        hears(&mut agent, "200").await;
        agent.shutdown().await.unwrap();
        assert_eq!(timeout(SOON, server.read(&mut [0])).await.unwrap().unwrap(), 0);
        // The other direction is open still.
        server.write_all(b"bye").await.unwrap();
        hears(&mut agent, "bye").await;
    }

    #[tokio::test]
    async fn a_delay_is_of_one_direction() {
        let line = Line::new().await;
        let Call { mut agent, mut server } = line.call().await;
        line.relay.set(Direction::ToAgent, Flow::Delay(Duration::from_millis(300)));
        agent.write_all(b"get").await.unwrap();
        assert!(hears(&mut server, "get").await < WHILE);
        server.write_all(b"200").await.unwrap();
        let took = hears(&mut agent, "200").await;
        assert!(took > Duration::from_millis(290), "{took:?}");
    }

    #[tokio::test]
    async fn what_is_held_or_frozen_arrives_later_and_what_was_dropped_never_does() {
        for (flow, arrives) in [(Flow::Hold, true), (Flow::Freeze, true), (Flow::Drop, false)] {
            let line = Line::new().await;
            let Call { mut agent, mut server } = line.call().await;
            line.relay.set(Direction::ToServer, flow);
            agent.write_all(b"put").await.unwrap();
            // Its sender gives up.
            drop(agent);
            hears_nothing(&mut server).await;
            line.relay.heal();
            if arrives {
                hears(&mut server, "put").await;
            } else {
                hears_nothing(&mut server).await;
            }
            let Call { mut agent, mut server } = line.call().await;
            agent.write_all(b"get").await.unwrap();
            hears(&mut server, "get").await;
        }
    }

    #[tokio::test]
    async fn a_cut_is_told_to_both_or_to_one() {
        for (cut, tells_agent, tells_server) in
            [(Cut::Reset, true, true), (Cut::ServerSide, false, true), (Cut::AgentSide, true, false)]
        {
            let line = Line::new().await;
            let Call { mut agent, mut server } = line.call().await;
            agent.write_all(b"get").await.unwrap();
            hears(&mut server, "get").await;
            line.relay.cut(cut);
            for (stream, told) in [(&mut agent, tells_agent), (&mut server, tells_server)] {
                if told {
                    is_reset(stream).await;
                } else {
                    stream.write_all(b"anybody?").await.unwrap();
                    hears_nothing(stream).await;
                }
            }
            let Call { mut agent, mut server } = line.call().await;
            agent.write_all(b"get").await.unwrap();
            hears(&mut server, "get").await;
        }
    }

    #[tokio::test]
    async fn new_connections_are_refused_until_they_are_not() {
        let line = Line::new().await;
        let Call { mut agent, mut server } = line.call().await;
        line.relay.refuse(true);
        sleep(WHILE).await;
        let refused = TcpStream::connect(line.relay.address()).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        agent.write_all(b"get").await.unwrap();
        hears(&mut server, "get").await;
        line.relay.refuse(false);
        sleep(WHILE).await;
        line.call().await;
    }
}
