//! What a descriptor in the epoll set stands for.

use rustix::event::epoll;

/// Where the kind stands in an epoll word; below it, a number that counts parties and is never used twice.
const KIND: u32 = 60;

/// What a descriptor in the epoll set stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Token {
    Listener,
    Stop,
    Stranger(u64),
    Control(u64),
    Events(u64),
    Process(u64),
    /// The bridge to the other host, or something that is to be relayed there.
    Bridge,
}

impl Token {
    pub(in crate::agent) fn data(self) -> epoll::EventData {
        let (kind, party) = match self {
            Token::Listener => (0, 0),
            Token::Stop => (1, 0),
            Token::Stranger(p) => (2, p),
            Token::Control(p) => (3, p),
            Token::Events(p) => (4, p),
            Token::Process(p) => (5, p),
            Token::Bridge => (6, 0),
        };
        epoll::EventData::new_u64(kind << KIND | party)
    }

    pub(in crate::agent) fn from_data(data: epoll::EventData) -> Option<Token> {
        let word = data.u64();
        let party = word & ((1 << KIND) - 1);
        Some(match word >> KIND {
            0 => Token::Listener,
            1 => Token::Stop,
            2 => Token::Stranger(party),
            3 => Token::Control(party),
            4 => Token::Events(party),
            5 => Token::Process(party),
            6 => Token::Bridge,
            _ => return None,
        })
    }
}
