//! Trees by hand, and a random one against a plain model.

use super::*;
use crate::proc::SIGCHLD;
use std::collections::BTreeMap;
use std::vec::Vec;

type Family = Tree<u32, u32>;

fn family() -> Family {
    let mut tree = Family::new();
    let first = tree.reserve(0, u64::MAX).unwrap();
    tree.insert(first, 0, BIRTH, first).unwrap();
    tree
}

fn child(tree: &mut Family, parent: u32) -> u32 {
    let pid = tree.reserve(0, u64::MAX).unwrap();
    tree.insert(pid, parent, BIRTH, pid).unwrap();
    pid
}

/// It ends, and its parent knows.
fn end(tree: &mut Family, pid: u32, status: u32) {
    let parent = tree.parent(pid).unwrap();
    tree.set_zombie(pid, status);
    assert!(!matches!(tree.find_child(parent, Which::Pid(pid), ENDS), Ok(Some(_))), "before it is announced");
    tree.announce(pid);
}

const BIRTH: Birth = Birth::Child { exit_signal: SIGCHLD };
const ENDS: What =
    What { exited: true, stopped: false, continued: false, leave: false, all: false, clone_only: false };

#[test]
fn a_child_is_of_its_parents_group_until_somebody_says_otherwise() {
    let mut tree = family();
    let (shell, other) = (child(&mut tree, 1), child(&mut tree, 1));
    assert_eq!(tree.new_session(shell), Ok(shell));
    assert_eq!(tree.new_session(shell), Err(Errno::Eperm), "it leads a group");
    let job = child(&mut tree, shell);
    assert_eq!((tree.group(job), tree.session(job)), (Some(shell), Some(shell)));
    assert_eq!(tree.set_group(shell, job, 0), Ok(()));
    assert_eq!((tree.group(job), tree.session_of_group(job)), (Some(job), Some(shell)));
    let second = child(&mut tree, shell);
    assert_eq!(tree.set_group(shell, second, job), Ok(()));
    assert_eq!(tree.members(job).count(), 2);
    assert_eq!(tree.set_group(shell, second, 999), Err(Errno::Eperm), "no such group");
    assert_eq!(tree.set_group(shell, other, 0), Err(Errno::Esrch), "not its child");
    assert_eq!(tree.set_group(1, shell, 0), Err(Errno::Eperm), "of another session");
    assert_eq!(tree.set_group(shell, 0, 0), Err(Errno::Eperm), "a session's leader");
    tree.note_exec(second);
    assert_eq!(tree.set_group(shell, second, 0), Err(Errno::Eacces));
    assert_eq!(tree.set_group(second, 0, 0), Ok(()), "itself it may");
}

#[test]
fn a_brother_has_his_creators_parent_and_group() {
    let mut tree = family();
    let shell = child(&mut tree, 1);
    let job = tree.reserve(0, u64::MAX).unwrap();
    tree.insert(job, shell, Birth::Child { exit_signal: 10 }, job).unwrap();
    tree.set_group(shell, job, 0).unwrap();
    let brother = tree.reserve(0, u64::MAX).unwrap();
    tree.insert(brother, job, Birth::Brother, brother).unwrap();
    assert_eq!((tree.parent(brother), tree.group(brother)), (Some(shell), Some(job)));
    assert_eq!(tree.exit_signal(brother), 10, "it ends as its creator does");
}

#[test]
fn a_user_has_so_many_and_no_more() {
    let mut tree = family();
    let mut numbers = std::vec![tree.reserve(7, 2).unwrap(), tree.reserve(7, 2).unwrap()];
    assert_eq!(tree.reserve(7, 2), Err(Errno::Eagain));
    assert_eq!((tree.count_of(7), tree.count_of(0), tree.count_of(8)), (2, 1, 0));
    tree.count_in(numbers[0], 8).unwrap();
    numbers.push(tree.reserve(7, 2).unwrap());
    let child = numbers[1];
    tree.insert(child, 1, BIRTH, child).unwrap();
    end(&mut tree, child, 0);
    assert_eq!(tree.reserve(7, 2), Err(Errno::Eagain), "a zombie counts");
    tree.reap(child);
    tree.release(numbers[0]);
    tree.release(numbers[2]);
    assert_eq!((tree.count_of(7), tree.count_of(8), tree.users.len()), (0, 0, 1));
}

#[test]
fn a_group_without_a_parent_to_continue_it_is_orphaned() {
    let mut tree = family();
    let shell = child(&mut tree, 1);
    tree.new_session(shell).unwrap();
    assert!(tree.is_orphaned(shell), "its parent is of another session");
    let job = child(&mut tree, shell);
    tree.set_group(shell, job, 0).unwrap();
    assert!(!tree.is_orphaned(job));
    end(&mut tree, shell, 0);
    tree.leave_children(shell, |_| ());
    assert!(tree.is_orphaned(job));
}

#[test]
fn a_zombie_is_told_of_once_and_its_number_is_free_when_nothing_has_it() {
    let mut tree = family();
    let shell = child(&mut tree, 1);
    tree.new_session(shell).unwrap();
    let job = child(&mut tree, shell);
    end(&mut tree, shell, 7 << 8);
    let mut left = Vec::new();
    tree.leave_children(shell, |orphan| left.push((orphan.parent, orphan.child, orphan.ended.is_some())));
    assert_eq!(left, [(1, job, false)]);
    let look = What { leave: true, ..ENDS };
    for what in [look, ENDS] {
        let found = tree.find_child(1, Which::Any, what).unwrap().unwrap();
        assert_eq!((found.pid, found.news), (shell, News::Exited(7 << 8)));
    }
    assert_eq!(tree.reap(shell), Some(shell));
    assert_eq!(tree.reap(shell), None);
    assert!(tree.find_child(1, Which::Pid(shell), ENDS).is_err_and(|error| error == Errno::Echild));
    // The session and the group still have the number.
    assert_eq!(tree.session(job), Some(shell));
    assert!(tree.number(shell).unwrap().uses > 0);
    end(&mut tree, job, 0);
    assert_eq!(tree.reap(job), Some(job));
    assert_eq!(tree.number(shell).unwrap().uses, 0);
}

#[test]
fn stops_and_continuations_are_news_once() {
    let mut tree = family();
    let job = child(&mut tree, 1);
    let what = What { stopped: true, continued: true, ..ENDS };
    assert!(tree.find_child(1, Which::Any, what).unwrap().is_none());
    tree.set_stopped(job, Some(20));
    assert!(tree.find_child(1, Which::Any, ENDS).unwrap().is_none());
    assert_eq!(tree.find_child(1, Which::Pid(job), what).unwrap().unwrap().news, News::Stopped(20));
    assert!(tree.find_child(1, Which::Any, what).unwrap().is_none());
    tree.set_stopped(job, None);
    assert_eq!(tree.find_child(1, Which::Group(1), what).unwrap().unwrap().news, News::Continued);
    assert!(tree.find_child(1, Which::Group(1), what).unwrap().is_none());
}

#[test]
fn orphans_go_to_the_nearest_who_wants_them() {
    let mut tree = family();
    let manager = child(&mut tree, 1);
    let middle = child(&mut tree, manager);
    let low = child(&mut tree, middle);
    tree.set_subreaper(manager, true);
    end(&mut tree, middle, 0);
    tree.leave_children(middle, |_| ());
    assert_eq!(tree.parent(low), Some(manager));
    end(&mut tree, manager, 0);
    tree.leave_children(manager, |_| ());
    assert_eq!((tree.parent(low), tree.parent(middle)), (Some(1), Some(1)));
}

#[test]
fn numbers_come_round_and_pass_what_is_taken() {
    let mut tree = family();
    let kept = child(&mut tree, 1);
    for _ in 0..NUMBERS - 3 {
        let number = tree.reserve(0, u64::MAX).unwrap();
        tree.release(number);
    }
    assert_eq!(tree.last(), NUMBERS - 1);
    assert_eq!(tree.reserve(0, u64::MAX), Ok(RESERVED));
    tree.last = kept - 1;
    assert_eq!(tree.reserve(0, u64::MAX), Ok(kept + 1));
}

/// A process, as the model has it.
#[derive(Clone)]
struct Plain {
    parent: u32,
    group: u32,
    session: u32,
    status: Option<u32>,
}

#[test]
fn a_random_family_is_what_a_plain_model_says() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let mut tree = family();
    let mut plain = BTreeMap::from([(1, Plain { parent: 0, group: 1, session: 1, status: None })]);
    for _ in 0..100_000 {
        let alive: Vec<u32> =
            plain.iter().filter(|(_, one)| one.status.is_none()).map(|(&pid, _)| pid).collect();
        let who = alive[random(alive.len())];
        match random(10) {
            0..=3 if plain.len() < 60 => {
                let pid = child(&mut tree, who);
                let Plain { group, session, .. } = plain[&who];
                plain.insert(pid, Plain { parent: who, group, session, status: None });
            }
            4..=5 if who != 1 => {
                let status = random(256) as u32;
                end(&mut tree, who, status);
                tree.leave_children(who, |_| ());
                plain.get_mut(&who).unwrap().status = Some(status);
                plain.values_mut().filter(|one| one.parent == who).for_each(|one| one.parent = 1);
            }
            6 => {
                let leads = plain.values().any(|one| one.group == who);
                assert_eq!(tree.new_session(who).is_ok(), !leads);
                if !leads {
                    let one = plain.get_mut(&who).unwrap();
                    (one.group, one.session) = (who, who);
                }
            }
            7 => {
                let targets: Vec<u32> = plain.keys().copied().collect();
                let (target, group) = (targets[random(targets.len())], targets[random(targets.len())]);
                let (one, me) = (plain[&target].clone(), plain[&who].clone());
                let group_session = plain.values().find(|one| one.group == group).map(|one| one.session);
                let may = (target == who || one.parent == who && one.session == me.session)
                    && one.session != target
                    && (group == target || group_session == Some(me.session));
                assert_eq!(tree.set_group(who, target, group).is_ok(), may);
                if may {
                    plain.get_mut(&target).unwrap().group = group;
                }
            }
            _ => {
                let zombies: Vec<u32> = plain
                    .iter()
                    .filter(|(_, one)| one.parent == who && one.status.is_some())
                    .map(|(&pid, _)| pid)
                    .collect();
                match tree.find_child(who, Which::Any, ENDS) {
                    Ok(Some(found)) => {
                        assert!(zombies.contains(&found.pid));
                        assert_eq!(found.news, News::Exited(plain[&found.pid].status.unwrap()));
                        assert_eq!(tree.reap(found.pid), Some(found.pid));
                        plain.remove(&found.pid);
                    }
                    Ok(None) => assert!(zombies.is_empty() && plain.values().any(|one| one.parent == who)),
                    Err(_) => assert!(!plain.values().any(|one| one.parent == who)),
                }
            }
        }
        assert_eq!(tree.count(), plain.len());
        let (&pid, one) = plain.iter().nth(random(plain.len())).unwrap();
        assert_eq!(
            (tree.parent(pid), tree.group(pid), tree.session(pid)),
            (Some(one.parent), Some(one.group), Some(one.session))
        );
        let members: Vec<u32> = tree.members(one.group).map(|(pid, _)| pid).collect();
        assert_eq!(members.len(), plain.values().filter(|other| other.group == one.group).count());
    }
}
