use std::{
    fs::{self, File},
    io::Write,
    os::{fd::AsFd, unix::fs::symlink},
    path::{Path, PathBuf},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Watch, inbox::Inbox};

// The kernel queues an event before the call that caused it returns, and a fence is passed before the answer, so
// nothing here waits.

struct Tree {
    _directory: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
    run: PathBuf,
}

fn tree() -> Tree {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let base = directory.path().canonicalize().expect("it exists");
    let tree = Tree {
        root: base.join("config"),
        outside: base.join("outside"),
        run: base.join("run"),
        _directory: directory,
    };
    for directory in [&tree.root, &tree.outside, &tree.run] {
        fs::create_dir(directory).expect("made");
    }
    tree
}

impl Tree {
    fn watch(&self) -> Watch {
        Watch::start(&self.root, &self.run).expect("inotify")
    }

    fn fence(&self) -> PathBuf {
        self.run.join(format!("fence-{}", std::process::id()))
    }
}

fn is_half_written(watch: &mut Watch, path: &Path) -> bool {
    watch.half_written(&[path]) == [true]
}

/// Whether somebody who polls it would wake up.
fn wakes(watch: &impl AsFd) -> bool {
    poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).expect("polled") == 1
}

#[test]
fn rename_close_write_and_delete_are_changes() {
    let tree = tree();
    let file = tree.root.join("a.yaml");
    let mut watch = tree.watch();
    assert!(!watch.take());
    fs::write(&file, "a: 1").expect("written");
    assert!(watch.take(), "close-write");
    assert!(!watch.take(), "once");
    let beside = tree.outside.join("a");
    fs::write(&beside, "a: 2").expect("written");
    assert!(!watch.take(), "outside");
    fs::rename(&beside, &file).expect("renamed");
    assert!(watch.take(), "rename");
    fs::remove_file(&file).expect("removed");
    assert!(watch.take(), "delete");
    fs::write(tree.root.join(".a.yaml.swp"), "x").expect("written");
    assert!(!watch.take(), "an editor's file");
}

#[test]
fn a_file_is_busy_from_its_first_change_to_its_close() {
    let tree = tree();
    let path = tree.root.join("a.yaml");
    let mut watch = tree.watch();
    let mut file = File::create(&path).expect("made");
    assert!(!watch.take());
    assert!(watch.busy().contains(&path), "new and empty");
    file.write_all(b"a: ").expect("written");
    assert!(!watch.take());
    fs::write(tree.root.join("b.yaml"), "b: 1").expect("written");
    assert!(watch.take(), "the other file is not waited with");
    assert!(watch.busy().contains(&path));
    drop(file);
    assert!(watch.take(), "closed");
    assert!(watch.busy().is_empty());
}

#[test]
fn what_was_read_while_somebody_wrote_is_not_believed() {
    let tree = tree();
    let path = tree.root.join("a.yaml");
    fs::write(&path, "a: 1").expect("written");
    symlink(&path, tree.root.join("link.yaml")).expect("linked");
    let mut watch = tree.watch();
    assert!(!is_half_written(&mut watch, &path));
    fs::write(&path, "a: 2").expect("written");
    assert!(is_half_written(&mut watch, &path), "opened, written and closed since");
    assert!(is_half_written(&mut watch, &tree.root.join("link.yaml")), "by whatever name");
    assert!(watch.take(), "and there is something to read");
    assert!(!is_half_written(&mut watch, &path));
}

#[test]
fn a_hard_link_is_complete_when_it_appears() {
    let tree = tree();
    let outside = tree.outside.join("a");
    fs::write(&outside, "a: 1").expect("written");
    let mut watch = tree.watch();
    fs::hard_link(&outside, tree.root.join("a.yaml")).expect("linked");
    assert!(watch.take());
    assert!(watch.busy().is_empty());
}

#[test]
fn new_directories_are_watched() {
    let tree = tree();
    let mut watch = tree.watch();
    let deep = tree.root.join("a/b/c");
    fs::create_dir_all(&deep).expect("made");
    assert!(watch.take());
    fs::write(deep.join("x.yaml"), "x: 1").expect("written");
    assert!(watch.take());
    let prepared = tree.outside.join("whole");
    fs::create_dir(&prepared).expect("made");
    fs::write(prepared.join("y.yaml"), "y: 1").expect("written");
    fs::rename(&prepared, tree.root.join("whole")).expect("renamed");
    assert!(watch.take());
    fs::write(tree.root.join("whole/y.yaml"), "y: 2").expect("written");
    assert!(watch.take());
    fs::rename(tree.root.join("whole"), &prepared).expect("renamed");
    assert!(watch.take());
    fs::write(prepared.join("y.yaml"), "y: 3").expect("written");
    assert!(!watch.take(), "no longer in the tree");
}

#[test]
fn a_data_directory_is_swapped_as_a_kubelet_does() {
    let tree = tree();
    for version in ["..1", "..2"] {
        fs::create_dir(tree.root.join(version)).expect("made");
        fs::write(tree.root.join(version).join("a.yaml"), version).expect("written");
    }
    symlink("..1", tree.root.join("..data")).expect("linked");
    symlink("..data/a.yaml", tree.root.join("a.yaml")).expect("linked");
    let mut watch = tree.watch();
    symlink("..2", tree.root.join("..data_tmp")).expect("linked");
    fs::rename(tree.root.join("..data_tmp"), tree.root.join("..data")).expect("renamed");
    assert!(watch.take());
}

#[test]
fn what_a_link_leads_to_is_watched_at_every_hop() {
    let tree = tree();
    let (live, archive) = (tree.outside.join("live"), tree.outside.join("archive"));
    fs::create_dir(&live).expect("made");
    fs::create_dir(&archive).expect("made");
    fs::write(archive.join("crt1"), "1").expect("written");
    fs::write(archive.join("crt2"), "2").expect("written");
    symlink("../archive/crt1", live.join("crt")).expect("linked");
    symlink(live.join("crt"), tree.root.join("tls.crt")).expect("linked");
    let mut watch = tree.watch();
    fs::write(live.join("other"), "x").expect("written");
    assert!(!watch.take(), "not what the link leads to");
    fs::remove_file(live.join("crt")).expect("removed");
    symlink("../archive/crt2", live.join("crt")).expect("linked");
    assert!(watch.take(), "a renewal");
    fs::write(archive.join("crt2"), "3").expect("written");
    assert!(watch.take(), "the second target, in place");
}

#[test]
fn loops_end_and_a_root_may_vanish_and_come_back() {
    let tree = tree();
    symlink(".", tree.root.join("self")).expect("linked");
    symlink("b", tree.root.join("a")).expect("linked");
    symlink("a", tree.root.join("b")).expect("linked");
    let mut watch = tree.watch();
    fs::remove_dir_all(&tree.root).expect("removed");
    assert!(watch.take());
    fs::create_dir(&tree.root).expect("made");
    assert!(watch.take());
    fs::write(tree.root.join("a.yaml"), "a: 1").expect("written");
    assert!(watch.take());
}

#[test]
fn a_directory_that_takes_anothers_place_is_watched_and_so_is_the_other() {
    let tree = tree();
    let (one, two, aside) = (tree.root.join("one"), tree.root.join("two"), tree.root.join("aside"));
    fs::create_dir(&one).expect("made");
    fs::create_dir(&two).expect("made");
    let mut watch = tree.watch();
    for round in 0..20 {
        fs::rename(&one, &aside).expect("renamed");
        fs::rename(&two, &one).expect("renamed");
        fs::rename(&aside, &two).expect("renamed");
        assert!(watch.take(), "round {round}");
        for directory in [&one, &two] {
            let path = directory.join("a.yaml");
            let mut file = File::create(&path).expect("made");
            file.write_all(b"a: ").expect("written");
            assert!(is_half_written(&mut watch, &path), "round {round}");
            drop(file);
            assert!(watch.take(), "round {round}");
        }
    }
    fs::remove_dir_all(&one).expect("removed");
    fs::create_dir(&one).expect("made");
    assert!(watch.take(), "another one");
    fs::write(one.join("a.yaml"), "a: 1").expect("written");
    assert!(watch.take());
}

#[test]
fn a_link_may_lead_to_a_dot_file_outside() {
    let tree = tree();
    let hidden = tree.outside.join(".key");
    fs::write(&hidden, "1").expect("written");
    symlink(&hidden, tree.root.join("tls.key")).expect("linked");
    let mut watch = tree.watch();
    fs::write(&hidden, "2").expect("written");
    assert!(watch.take());
}

#[test]
fn what_is_noticed_during_a_reload_wakes_after_it_and_once() {
    let tree = tree();
    let path = tree.root.join("a.yaml");
    let mut watch = tree.watch();
    for text in ["a: 1", "a: 2"] {
        fs::write(&path, text).expect("written");
    }
    assert!(is_half_written(&mut watch, &path), "a reload is under way");
    assert!(wakes(&watch));
    assert!(watch.take());
    assert!(!wakes(&watch));
    assert!(!watch.take());
}

#[test]
fn only_a_reason_to_read_wakes() {
    let tree = tree();
    let path = tree.root.join("a.yaml");
    let mut file = File::create(&path).expect("made");
    let mut watch = tree.watch();
    fs::read(&path).expect("read");
    fs::read_dir(&tree.root).expect("listed").for_each(drop);
    assert!(!is_half_written(&mut watch, &path), "reading is not writing");
    assert!(!wakes(&watch));
    file.write_all(b"a: ").expect("written");
    assert!(is_half_written(&mut watch, &path));
    assert!(!wakes(&watch), "there is nothing to read before it is closed");
    drop(file);
    assert!(is_half_written(&mut watch, &path), "since the last change that was taken");
    assert!(wakes(&watch));
}

#[test]
fn after_an_overflow_everything_is_looked_at_again() {
    let tree = tree();
    let path = tree.root.join("a.yaml");
    let mut watch = tree.watch();
    let _open = File::create(&path).expect("made");
    assert!(!watch.take());
    assert!(watch.busy().contains(&path));
    let new = tree.root.join("new");
    fs::create_dir(&new).expect("made");
    // Whatever has told of it is lost.
    watch.catch_up();
    watch.inbox.take();
    watch.inbox.quiet();
    watch.inbox.receive(Ok(notify::Event::default().set_flag(notify::event::Flag::Rescan)));
    assert!(wakes(&watch));
    assert!(watch.take());
    assert!(watch.busy().is_empty());
    fs::write(new.join("b.yaml"), "b: 1").expect("written");
    assert!(watch.take(), "the directory was found");
}

#[test]
fn the_inbox_is_bounded_and_a_slow_writer_does_not_fill_it() {
    use super::inbox::{Happened, Note};
    use notify::{Event, EventKind, event::DataChange, event::ModifyKind, event::RemoveKind};

    let inbox = Inbox::new("/nowhere".into()).expect("an eventfd");
    let tell = |kind, path: String| inbox.receive(Ok(Event::new(kind).add_path(path.into())));
    for round in 0..40_000 {
        tell(EventKind::Modify(ModifyKind::Data(DataChange::Any)), format!("/{}", round % 2));
    }
    assert!(!wakes(&inbox));
    let note = |name: &str| Note::At(name.into(), Happened::Written);
    assert_eq!(inbox.take(), [note("/0"), note("/1")]);
    for round in 0..40_000 {
        tell(EventKind::Remove(RemoveKind::File), round.to_string());
    }
    assert!(wakes(&inbox));
    let notes = inbox.take();
    assert_eq!(notes[0], Note::Overflow);
    assert_eq!(notes.last(), Some(&Note::At("39999".into(), Happened::Removed)));
    assert!(notes.len() <= 16384);
}

#[test]
fn without_a_fence_nothing_is_believed_until_there_is_one_again() {
    let tree = tree();
    let path = tree.root.join("a.yaml");
    fs::write(&path, "a: 1").expect("written");
    let mut watch = tree.watch();
    assert!(!watch.take());
    assert!(!is_half_written(&mut watch, &path));
    fs::remove_dir_all(tree.fence()).expect("it is there");
    assert!(is_half_written(&mut watch, &path), "nobody can know");
    assert!(watch.take());
    watch.start_afresh();
    watch.take();
    assert!(!is_half_written(&mut watch, &path));
    fs::write(&path, "a: 2").expect("written");
    assert!(is_half_written(&mut watch, &path));
}

#[test]
fn the_fence_leaves_nothing_behind_and_removes_nothing_but_its_own() {
    let tree = tree();
    let fence = tree.fence();
    fs::create_dir(&fence).expect("made");
    fs::write(fence.join("57"), "").expect("left by a process that was killed");
    fs::write(fence.join("mine"), "").expect("not ours");
    let mut watch = tree.watch();
    watch.take();
    drop(watch);
    let left: Vec<_> =
        fs::read_dir(&fence).expect("not empty").flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, ["mine"]);
    fs::remove_file(fence.join("mine")).expect("removed");
    // No process has this number (`PID_MAX_LIMIT` in `include/linux/threads.h`).
    let dead = tree.run.join("fence-4194305");
    fs::create_dir(&dead).expect("made");
    fs::write(dead.join("3"), "").expect("left by a process that was killed");
    let other = tree.run.join("fence-1");
    fs::create_dir(&other).expect("made");
    drop(tree.watch());
    assert_eq!([fence, dead, other].map(|directory| directory.exists()), [false, false, true]);
}

/// What the fence is for: no answer depends on how far the thread of `notify` has come.
#[test]
fn nothing_that_was_written_before_the_question_is_missed() {
    let tree = tree();
    let mut watch = tree.watch();
    for round in 0..500 {
        let path = tree.root.join(format!("{}.yaml", round % 7));
        let mut file = File::create(&path).expect("made");
        file.write_all(b"a: ").expect("written");
        assert!(is_half_written(&mut watch, &path), "round {round}");
        drop(file);
        assert!(watch.take(), "round {round}");
        assert!(!watch.take(), "round {round}: once");
        assert!(watch.busy().is_empty(), "round {round}");
    }
}
