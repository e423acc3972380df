//! Signals as events on a channel.
//!
//! Invariant: once [`forward`] has returned, none of these signals ends the process by itself; what they mean is for the
//! receiver to say.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// A signal that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGTERM or SIGINT.
    Terminate,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

/// Sends every signal into `events`, from a thread of its own that lives as long as the receiver does.
///
/// # Errors
///
/// The thread or the handlers cannot be set up.
pub fn forward<E: From<Signal> + Send + 'static>(events: Sender<E>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let registered = runtime.enter();
    // registered here and not in the thread: a signal right after the return must not be lethal any more
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    drop(registered);
    let wait = async move {
        loop {
            let signal = tokio::select! {
                Some(()) = hangup.recv() => Signal::Hangup,
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = interrupt.recv() => Signal::Terminate,
                Some(()) = user1.recv() => Signal::User1,
                Some(()) = user2.recv() => Signal::User2,
                else => return,
            };
            if events.send(signal.into()).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_signal_arrives_as_its_event() {
        let (sender, events) = mpsc::channel::<Signal>();
        forward(sender).unwrap();
        let sent = [
            ("HUP", Signal::Hangup),
            ("TERM", Signal::Terminate),
            ("INT", Signal::Terminate),
            ("USR1", Signal::User1),
            ("USR2", Signal::User2),
        ];
        for (name, event) in sent {
            let kill = Command::new("kill").args([format!("-{name}"), std::process::id().to_string()]).status();
            assert!(kill.unwrap().success());
            assert_eq!(events.recv_timeout(Duration::from_secs(20)), Ok(event));
        }
    }
}
