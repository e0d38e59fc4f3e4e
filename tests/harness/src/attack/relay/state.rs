//! What a relay is told to do with what it carries.

use std::time::Duration;

/// What becomes of bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They arrive.
    #[default]
    Pass,
    /// They arrive in order, so much later than they were sent.
    Delay(Duration),
    /// They are kept, and arrive once something else is asked for: as over a cable that was cut and is mended.
    Hold,
    /// They are not even taken: the sender's buffers fill.
    Freeze,
    /// They are swallowed. A connection that has lost some is silent in this direction for good, as one that a router
    /// has forgotten.
    Drop,
}

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Answers, and what a watch shows.
    ToAgent,
}

/// An end that comes at once, for all connections that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// Both sides are told, by a reset.
    #[default]
    Reset,
    /// Half open: only the server is told. The agent's side is silent.
    ServerSide,
    /// Half open: only the agent is told. To the server it seems to be there.
    AgentSide,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    pub(super) to_server: Flow,
    pub(super) to_agent: Flow,
    pub(super) refusing: bool,
    /// How often connections were cut, and how the last time.
    pub(super) cuts: u64,
    pub(super) cut: Cut,
    /// How often anything but that was set.
    pub(super) settings: u64,
}

impl State {
    pub(super) fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToAgent => self.to_agent,
        }
    }

    pub(super) fn set(&mut self, direction: Direction, flow: Flow) {
        match direction {
            Direction::ToServer => self.to_server = flow,
            Direction::ToAgent => self.to_agent = flow,
        }
        self.settings += 1;
    }

    pub(super) fn passes(&self) -> bool {
        let State { to_server, to_agent, refusing, .. } = self;
        [to_server, to_agent].into_iter().all(|flow| *flow == Flow::default()) && !refusing
    }

    pub(super) fn heal(&mut self) {
        let State { cuts, cut, settings, .. } = *self;
        *self = State { cuts, cut, settings: settings + 1, ..State::default() };
    }
}
