//! The bytes of the control FIFO, the signals they send and the hooks that may stand in for them.

/// One byte of `supervise/control`. Bytes that are none of these are ignored.
///
/// Source: runit 2.3.0, `ctrl` in src/runsv.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// `u`: keep it running.
    Up,
    /// `d`: stop it and leave it so.
    Down,
    /// `o`: run it once.
    Once,
    /// `x`: stop it and end the supervisor.
    Exit,
    /// `t`: TERM.
    Term,
    /// `k`: KILL.
    Kill,
    /// `p`: STOP.
    Pause,
    /// `c`: CONT.
    Continue,
    /// `h`: HUP.
    Hangup,
    /// `a`: ALRM.
    Alarm,
    /// `i`: INT.
    Interrupt,
    /// `q`: QUIT.
    Quit,
    /// `1`: USR1.
    User1,
    /// `2`: USR2.
    User2,
}

/// The control byte for the supervisor itself: become your program anew, as it is on disk now.
///
/// The original, as any that does not know it, ignores it.
pub const UPGRADE: u8 = b'U';

/// Every control byte for a service.
pub const ALL: [Control; 14] = [
    Control::Up,
    Control::Down,
    Control::Once,
    Control::Exit,
    Control::Term,
    Control::Kill,
    Control::Pause,
    Control::Continue,
    Control::Hangup,
    Control::Alarm,
    Control::Interrupt,
    Control::Quit,
    Control::User1,
    Control::User2,
];

/// A signal for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sig {
    /// SIGTERM
    Term,
    /// SIGCONT
    Cont,
    /// SIGKILL
    Kill,
    /// SIGSTOP
    Stop,
    /// SIGHUP
    Hup,
    /// SIGALRM
    Alrm,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
}

impl Control {
    /// Reads a byte; `None` for one that means nothing.
    pub fn from_byte(byte: u8) -> Option<Control> {
        ALL.into_iter().find(|control| control.byte() == byte)
    }

    /// The byte, which is also the name of its hook in `control/`.
    pub fn byte(self) -> u8 {
        match self {
            Control::Up => b'u',
            Control::Down => b'd',
            Control::Once => b'o',
            Control::Exit => b'x',
            Control::Term => b't',
            Control::Kill => b'k',
            Control::Pause => b'p',
            Control::Continue => b'c',
            Control::Hangup => b'h',
            Control::Alarm => b'a',
            Control::Interrupt => b'i',
            Control::Quit => b'q',
            Control::User1 => b'1',
            Control::User2 => b'2',
        }
    }

    /// The signal it sends to a running service; `None` for those that change what is wanted.
    pub fn signal(self) -> Option<Sig> {
        match self {
            Control::Up | Control::Down | Control::Once | Control::Exit => None,
            Control::Term => Some(Sig::Term),
            Control::Kill => Some(Sig::Kill),
            Control::Pause => Some(Sig::Stop),
            Control::Continue => Some(Sig::Cont),
            Control::Hangup => Some(Sig::Hup),
            Control::Alarm => Some(Sig::Alrm),
            Control::Interrupt => Some(Sig::Int),
            Control::Quit => Some(Sig::Quit),
            Control::User1 => Some(Sig::Usr1),
            Control::User2 => Some(Sig::Usr2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_and_no_other_means_anything() {
        let known: Vec<u8> = (0..=255).filter(|byte| Control::from_byte(*byte).is_some()).collect();
        assert_eq!(known, b"12acdhikopqtux");
        assert!(ALL.into_iter().all(|control| Control::from_byte(control.byte()) == Some(control)));
    }
}
