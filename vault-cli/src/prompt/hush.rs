//! The terminal between questions: it echoes nothing, and Ctrl-C still ends the program, which restores it first.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use vault_sys::Signals;

/// Until it is dropped, nothing that is typed is shown. What was typed and not read by then is thrown away: the shell would show it.
pub(super) struct Hush {
    before: Arc<Before>,
    signals: Arc<Signals>,
    watch: Option<JoinHandle<()>>,
}

impl Hush {
    /// # Errors
    /// What the system said.
    pub(super) fn enter(terminal: &File) -> io::Result<Self> {
        let modes = tcgetattr(terminal)?;
        let mut quiet = modes.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON;
        // Stopped, it would leave a terminal that shows nothing to the shell.
        quiet.special_codes[SpecialCodeIndex::VSUSP] = DISABLED;
        let before = Arc::new(Before(Mutex::new(Some((terminal.try_clone()?, modes)))));
        let signals = Arc::new(Signals::catch(
            &[Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM].map(Signal::as_raw),
        )?);
        let (watched, restored) = (Arc::clone(&signals), Arc::clone(&before));
        let watch = thread::Builder::new().spawn(move || {
            while let Some(signal) = watched.wait().and_then(|caught| Signal::from_named_raw(caught.signal)) {
                restored.restore();
                watched.let_go();
                // Nothing can be done if it is refused: then the command goes on.
                let _ = kill_process(getpid(), signal);
            }
        })?;
        let hush = Self { before, signals, watch: Some(watch) };
        tcsetattr(terminal, OptionalActions::Drain, &quiet)?;
        Ok(hush)
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        self.before.restore();
        self.signals.let_go();
        self.signals.close();
        // It has nothing to say.
        let _ = self.watch.take().map(JoinHandle::join);
    }
}

/// The terminal as it was, until that is restored.
struct Before(Mutex<Option<(File, Termios)>>);

impl Before {
    fn restore(&self) {
        if let Some((terminal, modes)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nothing better can be done when this fails: the terminal is gone.
            let _ = tcsetattr(terminal, OptionalActions::Flush, &modes);
        }
    }
}

/// `_POSIX_VDISABLE`.
const DISABLED: u8 = if cfg!(target_os = "linux") { 0 } else { 0xff };
