//! The bucket of one task. A call waits until the scheduler answers it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;

use super::world::{Answer, Op, World};
use crate::bucket::{Bucket, Failed, Got};
#[cfg(duramen_mutants)]
use crate::mutant::Mutant;
use crate::name::{Folder, Name};

#[derive(Clone, Debug)]
pub(super) struct SimBucket {
    world: Arc<Mutex<World>>,
    task: usize,
}

impl SimBucket {
    pub(super) fn new(world: &Arc<Mutex<World>>, task: usize) -> Self {
        Self { world: Arc::clone(world), task }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    async fn call(&self, op: Op) -> Answer {
        let id = self.world().send(self.task, op);
        Call { bucket: self, id }.await
    }
}

/// A request that waits for its answer. One that is dropped goes on without its sender.
struct Call<'a> {
    bucket: &'a SimBucket,
    id: u64,
}

impl Future for Call<'_> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        match self.bucket.world().answers.remove(&self.id) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut world = self.bucket.world();
        for request in &mut world.flight {
            if request.id == self.id {
                request.wanted = false;
            }
        }
    }
}

impl Bucket for SimBucket {
    async fn get(&self, name: &Name, most: u64) -> Result<Option<Got>, Failed> {
        match self.call(Op::Get(name.clone())).await {
            Answer::Got(found) => Ok(found.map(|bytes| match bytes.len() as u64 {
                len if len > most => Got::TooLong(len),
                _ => Got::Bytes(bytes),
            })),
            Answer::Failed(failed) => Err(failed),
            other => unreachable!("{other:?}"),
        }
    }

    async fn create(&self, name: &Name, bytes: Bytes) -> Result<(), Failed> {
        match self.call(Op::Create(name.clone(), bytes)).await {
            Answer::Created(result) => result,
            Answer::Failed(failed) => Err(failed),
            other => unreachable!("{other:?}"),
        }
    }

    async fn list(&self, folder: Folder) -> Result<Vec<Name>, Failed> {
        match self.call(Op::List(folder)).await {
            Answer::Listed(names) => Ok(names),
            Answer::Failed(failed) => Err(failed),
            other => unreachable!("{other:?}"),
        }
    }

    async fn delete(&self, name: &Name) -> Result<(), Failed> {
        match self.call(Op::Delete(name.clone())).await {
            Answer::Deleted => Ok(()),
            Answer::Failed(failed) => Err(failed),
            other => unreachable!("{other:?}"),
        }
    }

    async fn pause(&self, tries: u32) -> bool {
        match self.call(Op::Pause(tries)).await {
            Answer::Paused(goes_on) => goes_on,
            other => unreachable!("{other:?}"),
        }
    }

    fn nonce(&self) -> [u8; 16] {
        self.world().nonce()
    }

    #[cfg(duramen_mutants)]
    fn mutant(&self) -> Option<Mutant> {
        self.world().mutant
    }
}
