//! Threads that load batches.

use crate::batch::BatchRequest;
use crate::{Batch, DataError, Dataset};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

struct Job {
    number: u64,
    request: BatchRequest,
    buffer: Batch,
}

type Finished = (u64, Result<Batch, DataError>);

/// Workers, the queue of batches to load and the queue of loaded ones.
///
/// Both queues have room for every batch that may be on its way, so that no `send` ever waits and
/// nobody can wait for somebody who waits for him.
pub(crate) struct Pool {
    /// `None` only while dropping.
    jobs: Option<Sender<Job>>,
    finished: Receiver<Finished>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// `capacity`: the most batches that are submitted and not received at any time.
    pub(crate) fn start(
        dataset: &Arc<dyn Dataset>,
        workers: usize,
        capacity: usize,
    ) -> Result<Self, DataError> {
        let (jobs, queue) = bounded(capacity);
        let (results, finished) = bounded(capacity);
        let stop = Arc::new(AtomicBool::new(false));
        // Complete before the first thread starts, so that an error stops the ones that run.
        let mut pool = Self { jobs: Some(jobs), finished, stop, threads: Vec::new() };
        for i in 0..workers {
            let worker = Worker {
                dataset: Arc::clone(dataset),
                jobs: queue.clone(),
                finished: results.clone(),
                stop: Arc::clone(&pool.stop),
            };
            let thread = std::thread::Builder::new()
                .name(format!("data-{i}"))
                .spawn(move || worker.run())
                .map_err(DataError::io(Path::new("thread of the loader")))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Asks for a batch, to be written into `buffer`.
    pub(crate) fn submit(&self, number: u64, request: BatchRequest, buffer: Batch) {
        if let Some(jobs) = &self.jobs {
            // Fails only when every worker is gone, which `receive` reports.
            let _ = jobs.send(Job { number, request, buffer });
        }
    }

    /// The next batch that is finished, in any order; `None` when every worker is gone.
    pub(crate) fn receive(&self) -> Option<Finished> {
        self.finished.recv().ok()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker does not panic: it catches what the data set does.
            let _ = thread.join();
        }
    }
}

struct Worker {
    dataset: Arc<dyn Dataset>,
    jobs: Receiver<Job>,
    finished: Sender<Finished>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(self) {
        for Job { number, request, mut buffer } in &self.jobs {
            let load = || request.load_into(self.dataset.as_ref(), &mut buffer, &self.stop);
            // The buffer may be left half written, and is dropped then.
            let result = match catch_unwind(AssertUnwindSafe(load)) {
                Ok(loaded) => loaded.map(|()| buffer),
                Err(panic) => Err(DataError::Panicked {
                    dataset: self.dataset.name().to_string(),
                    position: request.first_position,
                    message: message_of(panic.as_ref()).to_string(),
                }),
            };
            if self.stop.load(Ordering::Relaxed) || self.finished.send((number, result)).is_err() {
                return;
            }
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
