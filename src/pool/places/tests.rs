//! Places go round in the order in which they were asked for, and none is lost.

use std::time::Duration;

use super::*;
use crate::config::{Backend, Transport};

fn house(cap: usize, queue: usize) -> (Arc<Places>, Arc<Member>) {
    let places = Arc::new(Places::new(1));
    places.limit(cap, queue);
    let transport = Transport::Ws("h".to_owned(), 1);
    let backend = Backend { url: "ws://h:1".to_owned(), transport, weight: 1, backup: false };
    let member = Arc::new(Member::new(&backend, &places, 4));
    (places, member)
}

/// Its only member, where it has room.
fn only(member: &Arc<Member>) -> impl Fn(usize, u64, &mut Chance) -> Choice + use<> {
    let member = Arc::clone(member);
    move |cap, _, _| (member.open() < cap).then(|| Arc::clone(&member))
}

fn enter(places: &Arc<Places>, member: &Arc<Member>) -> Entry {
    places.enter(0, only(member))
}

fn place(entry: Entry) -> Lease {
    match entry {
        Entry::Place(lease) => lease,
        Entry::Queue(_) => panic!("has to wait"),
        Entry::Full => panic!("full"),
    }
}

fn queued(entry: Entry) -> Waiting {
    match entry {
        Entry::Queue(waiting) => waiting,
        Entry::Place(_) => panic!("has a place"),
        Entry::Full => panic!("full"),
    }
}

/// What has been handed to one who waits.
async fn handed(waiting: &mut Waiting) -> Option<Lease> {
    waiting.place_by(Instant::now() + Duration::from_millis(1)).await
}

#[tokio::test(start_paused = true)]
async fn who_came_first_goes_first() {
    let (places, member) = house(1, 2);
    let lease = place(enter(&places, &member));
    let (mut first, mut second) = (queued(enter(&places, &member)), queued(enter(&places, &member)));
    assert!(matches!(enter(&places, &member), Entry::Full));
    assert_eq!((places.waiting(), member.open()), (2, 1));
    drop(lease);
    assert!(handed(&mut second).await.is_none());
    let lease = handed(&mut first).await.expect("the first one's");
    assert_eq!((places.waiting(), member.open()), (1, 1));
    drop(lease);
    let lease = handed(&mut second).await.expect("the second one's");
    drop((first, second));
    drop(lease);
    assert_eq!((places.waiting(), member.open()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_loses_nobody_a_place() {
    let (places, member) = house(1, 3);
    let lease = place(enter(&places, &member));
    let [first, second, mut third] = [(); 3].map(|()| queued(enter(&places, &member)));
    drop(second);
    assert_eq!(places.waiting(), 2);
    // The first one's place is on its way when it leaves.
    drop(lease);
    assert_eq!(places.waiting(), 1);
    drop(first);
    let lease = handed(&mut third).await.expect("handed on");
    assert_eq!(member.open(), 1);
    drop(lease);
    assert_eq!(member.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_those_who_wait() {
    let (places, member) = house(1, 9);
    let lease = place(enter(&places, &member));
    let mut first = queued(enter(&places, &member));
    // There is room for one more now, but nobody has said so yet: the newcomer brings the first one its place.
    places.limit(2, 9);
    let mut newcomer = queued(enter(&places, &member));
    let second = handed(&mut first).await.expect("before the newcomer");
    assert!(handed(&mut newcomer).await.is_none());
    drop((lease, second));
    assert!(handed(&mut newcomer).await.is_some());
}

#[test]
fn a_place_above_a_lowered_cap_is_not_given_again() {
    let (places, member) = house(3, 9);
    let leases: Vec<Lease> = (0..3).map(|_| place(enter(&places, &member))).collect();
    places.limit(1, 9);
    let _waiting = queued(enter(&places, &member));
    let mut leases = leases.into_iter();
    drop((leases.next(), leases.next()));
    assert_eq!((member.open(), places.waiting()), (1, 1));
    drop(leases.next());
    assert_eq!((member.open(), places.waiting()), (1, 0), "handed over, and not taken yet");
}

#[test]
fn a_member_that_is_in_its_pool_no_more_is_not_handed_on() {
    let (places, member) = house(1, 9);
    let lease = place(enter(&places, &member));
    let _waiting = queued(enter(&places, &member));
    member.retire();
    drop(lease);
    assert_eq!((member.open(), places.waiting()), (0, 1));
}

#[test]
fn threads_never_pass_the_cap_and_nobody_is_forgotten() {
    let (places, member) = house(5, 1000);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let work = async || {
        for round in 0..400 {
            let lease = match enter(&places, &member) {
                Entry::Place(lease) => lease,
                Entry::Full => panic!("full"),
                // Every third one has no patience.
                Entry::Queue(waiting) if round % 3 == 0 => {
                    drop(waiting);
                    continue;
                }
                Entry::Queue(mut waiting) => {
                    let patience = Instant::now() + Duration::from_secs(60);
                    waiting.place_by(patience).await.expect("a place in a minute")
                }
            };
            assert!(member.open() <= 5);
            tokio::task::yield_now().await;
            drop(lease);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| runtime().block_on(async { tokio::join!(work(), work()) }));
        }
    });
    assert_eq!((member.open(), places.waiting()), (0, 0));
}
