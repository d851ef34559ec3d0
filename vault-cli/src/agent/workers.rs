//! The agent's threads: each answers one connection after another, and some wait for the next one, as making a thread takes longer
//! than answering.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A connection to be answered.
type Job = Box<dyn FnOnce() + Send>;

/// Threads that answer, and connections that wait for one.
#[derive(Clone, Default)]
pub(super) struct Workers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Threads without a connection.
    idle: usize,
    /// Connections that those threads are about to take.
    jobs: VecDeque<Job>,
}

impl Workers {
    /// Has a connection answered by a thread of its own; false if there can be none.
    pub(super) fn answer(&self, job: Job) -> bool {
        let mut queue = self.queue();
        if queue.idle > queue.jobs.len() {
            queue.jobs.push_back(job);
            self.0.more.notify_one();
            return true;
        }
        drop(queue);
        let workers = self.clone();
        std::thread::Builder::new().stack_size(STACK).spawn(move || workers.work(job)).is_ok()
    }

    fn work(&self, first: Job) {
        first();
        while let Some(job) = self.next() {
            job();
        }
    }

    /// The next connection; none if there are threads enough that wait for one, or none came for long.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        if queue.idle >= WAITING {
            return None;
        }
        queue.idle += 1;
        let none = |queue: &mut Queue| queue.jobs.is_empty();
        let waited = self.0.more.wait_timeout_while(queue, PATIENCE, none);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.idle -= 1;
        queue.jobs.pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads that wait.
const WAITING: usize = 2;
/// How long they do.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a thread's stack.
const STACK: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::ThreadId;

    use super::*;

    fn answered_by(workers: &Workers) -> ThreadId {
        let (say, heard) = mpsc::channel();
        assert!(workers.answer(Box::new(move || say.send(std::thread::current().id()).unwrap())));
        heard.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn a_thread_answers_one_connection_after_another() {
        let workers = Workers::default();
        let first = answered_by(&workers);
        for _ in 0..100 {
            while workers.queue().idle == 0 {
                std::thread::yield_now();
            }
            assert_eq!(answered_by(&workers), first);
        }
    }

    #[test]
    fn a_connection_never_waits_for_another_one() {
        let workers = Workers::default();
        for _ in 0..3 {
            let (say, heard) = mpsc::channel();
            let ends: Vec<_> = (0..8)
                .map(|_| {
                    let (say, (end, ended)) = (say.clone(), mpsc::channel::<()>());
                    assert!(workers.answer(Box::new(move || {
                        say.send(()).unwrap();
                        let _ = ended.recv();
                    })));
                    end
                })
                .collect();
            for _ in 0..8 {
                heard.recv_timeout(Duration::from_secs(10)).unwrap();
            }
            drop(ends);
        }
        assert!(workers.queue().idle <= WAITING);
    }
}
