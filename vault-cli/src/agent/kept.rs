//! Something secret that is used by one at a time, and can be forgotten by somebody who does not wait for a turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub(super) struct Kept<T> {
    it: Mutex<Option<T>>,
    is_forgotten: AtomicBool,
}

/// The time in which it is somebody's.
pub(super) struct Turn<'a, T> {
    kept: &'a Kept<T>,
    /// Always there, until this is dropped.
    it: Option<MutexGuard<'a, Option<T>>>,
}

impl<T> Kept<T> {
    pub(super) fn of(it: T) -> Self {
        Self { it: Mutex::new(Some(it)), is_forgotten: AtomicBool::new(false) }
    }

    /// Waits for one's turn.
    pub(super) fn turn(&self) -> Turn<'_, T> {
        Turn { kept: self, it: Some(self.it.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// Forgets it, and waits for nobody: if it is somebody's turn, it is gone when that ends.
    pub(super) fn forget(&self) {
        self.is_forgotten.store(true, Ordering::SeqCst);
        self.drop_what_is_forgotten();
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Ordering::SeqCst)
    }

    fn drop_what_is_forgotten(&self) {
        if self.is_forgotten() {
            match self.it.try_lock() {
                Ok(mut it) => drop(it.take()),
                Err(TryLockError::Poisoned(poisoned)) => drop(poisoned.into_inner().take()),
                // Whose turn it is comes here when it ends.
                Err(TryLockError::WouldBlock) => {}
            }
        }
    }
}

impl<T> Turn<'_, T> {
    /// None if it is forgotten.
    pub(super) fn get(&mut self) -> Option<&mut T> {
        if self.kept.is_forgotten() {
            return None;
        }
        self.it.as_mut().and_then(|it| it.as_mut())
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        // First let go, then look: whoever forgets says so first, and then tries to get it. So one of the two drops it.
        self.it.take();
        self.kept.drop_what_is_forgotten();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn who_forgets_waits_for_nobody_and_nothing_is_left() {
        let (secret, seen) = (Arc::new(()), Arc::new(()));
        let kept = Kept::of(Arc::clone(&secret));
        assert!(kept.turn().get().is_some());
        let mut turn = kept.turn();
        // Were it to wait, it would wait for ever.
        kept.forget();
        assert!(turn.get().is_none() && Arc::strong_count(&secret) == 2);
        drop(turn);
        assert_eq!(Arc::strong_count(&secret), 1, "with the turn, it is gone");
        assert!(kept.turn().get().is_none() && kept.is_forgotten());

        let kept = Kept::of(Arc::clone(&seen));
        kept.forget();
        assert_eq!(Arc::strong_count(&seen), 1, "where it is nobody's turn, it is gone at once");
    }

    #[test]
    fn nothing_is_left_however_the_two_meet() {
        for _ in 0..2_000 {
            let secret = Arc::new(());
            let kept = Arc::new(Kept::of(Arc::clone(&secret)));
            let (say, heard) = mpsc::channel();
            let other = {
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    say.send(()).unwrap();
                    drop(kept.turn());
                })
            };
            heard.recv().unwrap();
            kept.forget();
            other.join().unwrap();
            assert_eq!(Arc::strong_count(&secret), 1);
        }
    }
}
