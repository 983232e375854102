//! What every queue promises, checked for each of them.

use crate::project::tell;
use runner::pipeline::attribute::ConcurrencyMethod;
use runner::plan::{ConcurrencyGroup, JobId};
use runner::queue::{Attempt, ByGroup, Lease, MemoryQueue, Offer, Queue, QueueError, SqliteQueue};
use std::sync::Arc;
use std::time::Duration;

const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(60);

fn attempt(run: &str, job: u32) -> Attempt {
    Attempt { run: run.to_owned(), job: JobId(job), attempt: 1 }
}

fn alone(run: &str, job: u32) -> Offer {
    Offer { attempt: attempt(run, job), group: None }
}

fn grouped(run: &str, job: u32, name: &str, limit: u64, method: ConcurrencyMethod) -> Offer {
    Offer { attempt: attempt(run, job), group: Some(ConcurrencyGroup { name: name.to_owned(), limit, method }) }
}

async fn offer(queue: &dyn Queue, offers: &[&Offer]) {
    for offer in offers {
        queue.offer(offer, LONG).await.unwrap();
    }
}

async fn lease(queue: &dyn Queue, offer: &Offer, holder: &str) -> Option<Lease> {
    queue.lease(&offer.attempt, holder, LONG).await.unwrap()
}

fn is_lost(result: &Result<(), QueueError>) -> bool {
    matches!(result, Err(QueueError::Lost))
}

async fn one_holder_at_a_time(queue: &dyn Queue) {
    let one = alone("a", 1);
    assert!(lease(queue, &one, "x").await.is_none(), "what is not offered cannot be had");
    offer(queue, &[&one, &one]).await;
    let held = lease(queue, &one, "x").await.unwrap();
    assert_eq!(held.offer, one);
    assert!(lease(queue, &one, "y").await.is_none(), "somebody has it");
    offer(queue, &[&one]).await;
    assert!(lease(queue, &one, "y").await.is_none(), "to offer it again takes it from nobody");
    queue.extend(&held, LONG).await.unwrap();
    queue.settle(&held).await.unwrap();
    assert!(is_lost(&queue.settle(&held).await), "a lease ends once");
    assert!(lease(queue, &one, "y").await.is_none(), "to offer twice is to offer once");
    // The same job's next attempt is another one.
    let mut next = one;
    next.attempt.attempt = 2;
    offer(queue, &[&next]).await;
    let held = lease(queue, &next, "x").await.unwrap();
    queue.settle(&held).await.unwrap();
}

async fn what_runs_out_can_be_taken(queue: &dyn Queue) {
    let one = alone("b", 1);
    offer(queue, &[&one]).await;
    let old = queue.lease(&one.attempt, "x", SHORT).await.unwrap().unwrap();
    tokio::time::sleep(SHORT * 2).await;
    assert!(is_lost(&queue.extend(&old, LONG).await), "it has run out");
    let new = lease(queue, &one, "y").await.unwrap();
    assert!(new.token > old.token, "tokens rise");
    assert!(is_lost(&queue.extend(&old, LONG).await));
    assert!(is_lost(&queue.settle(&old).await));
    queue.extend(&new, LONG).await.unwrap();
    queue.settle(&new).await.unwrap();
}

async fn extending_keeps(queue: &dyn Queue) {
    let one = alone("c", 1);
    offer(queue, &[&one]).await;
    let held = queue.lease(&one.attempt, "x", SHORT * 4).await.unwrap().unwrap();
    for _ in 0..4 {
        tokio::time::sleep(SHORT).await;
        queue.extend(&held, SHORT * 10).await.unwrap();
    }
    assert!(lease(queue, &one, "y").await.is_none());
    queue.settle(&held).await.unwrap();
}

async fn a_group_has_a_limit(queue: &dyn Queue) {
    let [one, two, three] = [1, 2, 3].map(|job| grouped("d", job, "two", 2, ConcurrencyMethod::Eager));
    let other = grouped("e", 1, "two", 2, ConcurrencyMethod::Eager);
    let elsewhere = grouped("e", 2, "elsewhere", 1, ConcurrencyMethod::Eager);
    offer(queue, &[&one, &two, &three, &other, &elsewhere]).await;
    // Eager: whoever comes first.
    let third = lease(queue, &three, "d").await.unwrap();
    let others = lease(queue, &other, "e").await.unwrap();
    assert!(lease(queue, &one, "d").await.is_none(), "the group is full, across runs");
    let free = lease(queue, &elsewhere, "e").await.unwrap();
    queue.settle(&others).await.unwrap();
    let first = lease(queue, &one, "d").await.unwrap();
    assert!(lease(queue, &two, "d").await.is_none());
    for lease in [&third, &first, &free] {
        queue.settle(lease).await.unwrap();
    }
    queue.withdraw("d", None).await.unwrap();
}

async fn an_ordered_group_keeps_its_order(queue: &dyn Queue) {
    let offers =
        [("f", 1), ("g", 1), ("f", 2)].map(|(run, job)| grouped(run, job, "one", 1, ConcurrencyMethod::Ordered));
    let [first, second, third] = &offers;
    offer(queue, &[first, second, third]).await;
    assert!(lease(queue, third, "f").await.is_none());
    assert!(lease(queue, second, "g").await.is_none());
    let held = lease(queue, first, "f").await.unwrap();
    assert!(lease(queue, second, "g").await.is_none(), "full");
    // To offer again changes no place.
    offer(queue, &[third, second]).await;
    queue.settle(&held).await.unwrap();
    assert!(lease(queue, third, "f").await.is_none());
    let held = lease(queue, second, "g").await.unwrap();
    queue.settle(&held).await.unwrap();
    let held = lease(queue, third, "f").await.unwrap();
    queue.settle(&held).await.unwrap();
}

async fn what_is_not_renewed_holds_up_nobody(queue: &dyn Queue) {
    let [waits, next] = [1, 2].map(|job| grouped("h", job, "left", 1, ConcurrencyMethod::Ordered));
    queue.offer(&waits, SHORT).await.unwrap();
    offer(queue, &[&next]).await;
    assert!(lease(queue, &next, "h").await.is_none());
    tokio::time::sleep(SHORT * 2).await;
    // Nor does a lease that has run out.
    let old = queue.lease(&next.attempt, "h", SHORT).await.unwrap().unwrap();
    tokio::time::sleep(SHORT * 2).await;
    offer(queue, &[&waits]).await;
    let held = lease(queue, &waits, "h").await.unwrap();
    assert!(is_lost(&queue.extend(&old, LONG).await), "else there were two in a group of one");
    queue.settle(&held).await.unwrap();
    queue.withdraw("h", None).await.unwrap();
}

async fn what_is_withdrawn_is_gone(queue: &dyn Queue) {
    let [held, waits] = [1, 2].map(|job| grouped("i", job, "back", 1, ConcurrencyMethod::Ordered));
    let others = grouped("j", 1, "back", 1, ConcurrencyMethod::Ordered);
    let plain = alone("i", 3);
    offer(queue, &[&held, &waits, &others, &plain]).await;
    let lost = lease(queue, &held, "i").await.unwrap();
    queue.withdraw("i", Some(&waits.attempt)).await.unwrap();
    assert!(lease(queue, &others, "j").await.is_none(), "only that one");
    queue.withdraw("i", None).await.unwrap();
    assert!(is_lost(&queue.extend(&lost, LONG).await) && is_lost(&queue.settle(&lost).await));
    assert!(lease(queue, &plain, "i").await.is_none());
    let theirs = lease(queue, &others, "j").await.unwrap();
    queue.settle(&theirs).await.unwrap();
    queue.withdraw("nobody", None).await.unwrap();
}

async fn keeps_its_promises(name: &str, queue: &dyn Queue) {
    one_holder_at_a_time(queue).await;
    what_runs_out_can_be_taken(queue).await;
    extending_keeps(queue).await;
    a_group_has_a_limit(queue).await;
    an_ordered_group_keeps_its_order(queue).await;
    what_is_not_renewed_holds_up_nobody(queue).await;
    what_is_withdrawn_is_gone(queue).await;
    tell(&format!("queue contract: 7 promises kept by {name}"));
}

#[tokio::test]
async fn memory() {
    keeps_its_promises("memory", &MemoryQueue::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    keeps_its_promises("SQLite", &SqliteQueue::new(directory.path().join("queue"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_group() {
    let directory = tempfile::tempdir().unwrap();
    let shared = Arc::new(SqliteQueue::new(directory.path().join("queue")));
    keeps_its_promises("memory in front of SQLite", &ByGroup::over(shared)).await;
}

/// Two processes as far as the database can tell, of which one ends without a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_is_free_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let queues = [0, 1].map(|_| SqliteQueue::new(directory.path().to_owned()));
    let [dies, lives] = queues;
    let [held, waits] = [1, 2].map(|job| grouped("dies", job, "one", 1, ConcurrencyMethod::Ordered));
    let next = grouped("lives", 1, "one", 1, ConcurrencyMethod::Ordered);
    offer(&dies, &[&held, &waits]).await;
    offer(&lives, &[&next]).await;
    lease(&dies, &held, "dies").await.unwrap();
    assert!(lease(&lives, &next, "lives").await.is_none(), "the other one lives");
    drop(dies);
    let theirs = lease(&lives, &next, "lives").await.unwrap();
    lives.settle(&theirs).await.unwrap();
    drop(lives);
    assert_eq!(std::fs::read_dir(directory.path().join("processes")).unwrap().count(), 0);
}
