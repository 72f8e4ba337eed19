use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::PathBuf,
};

use super::Watch;

// inotify queues an event before the call that caused it returns, so nothing here waits.

struct Tree {
    _directory: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

fn tree() -> Tree {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let base = directory.path().canonicalize().expect("it exists");
    let tree = Tree { root: base.join("config"), outside: base.join("outside"), _directory: directory };
    fs::create_dir(&tree.root).expect("made");
    fs::create_dir(&tree.outside).expect("made");
    tree
}

#[test]
fn rename_close_write_and_delete_are_changes() {
    let tree = tree();
    let file = tree.root.join("a.yaml");
    let mut watch = Watch::start(&tree.root).expect("inotify");
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
    let mut watch = Watch::start(&tree.root).expect("inotify");
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
    let mut watch = Watch::start(&tree.root).expect("inotify");
    assert!(!watch.is_half_written(&path));
    fs::write(&path, "a: 2").expect("written");
    assert!(watch.is_half_written(&path), "opened, written and closed since");
    assert!(watch.is_half_written(&tree.root.join("link.yaml")), "by whatever name");
    assert!(watch.take(), "and there is something to read");
    assert!(!watch.is_half_written(&path));
}

#[test]
fn a_hard_link_is_complete_when_it_appears() {
    let tree = tree();
    let outside = tree.outside.join("a");
    fs::write(&outside, "a: 1").expect("written");
    let mut watch = Watch::start(&tree.root).expect("inotify");
    fs::hard_link(&outside, tree.root.join("a.yaml")).expect("linked");
    assert!(watch.take());
    assert!(watch.busy().is_empty());
}

#[test]
fn new_directories_are_watched() {
    let tree = tree();
    let mut watch = Watch::start(&tree.root).expect("inotify");
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
    let mut watch = Watch::start(&tree.root).expect("inotify");
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
    let mut watch = Watch::start(&tree.root).expect("inotify");
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
    let mut watch = Watch::start(&tree.root).expect("inotify");
    fs::remove_dir_all(&tree.root).expect("removed");
    assert!(watch.take());
    fs::create_dir(&tree.root).expect("made");
    assert!(watch.take());
    fs::write(tree.root.join("a.yaml"), "a: 1").expect("written");
    assert!(watch.take());
}
