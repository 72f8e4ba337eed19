use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
};

use super::*;

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn loader(&self) -> Loader {
        Loader::new(self.0.path(), None)
    }
}

#[test]
fn reads_manifests_anywhere_below_and_leaves_the_rest() {
    let directory = Directory::new();
    directory.write("a.yaml", route("a", ""));
    directory.write("deep/er/b.yml", route("b", ""));
    directory.write("c.json", r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}"#);
    for leftover in
        [".a.yaml", ".git/x.yaml", "a.yaml~", "#a.yaml#", ".#a.yaml", "a.yaml.swp", "4913", "notes.txt"]
    {
        directory.write(leftover, ": not [ yaml");
    }
    directory.write("empty.yaml", "# nothing\n---\n");
    let set = directory.loader().load_at(NOW);
    assert_eq!(lines(&set), [] as [String; 0]);
    assert_eq!(names(&set), ["a", "b"]);
    assert_eq!(set.http_routes[1].origin.to_string(), "deep/er/b.yml:1:1");
    assert_eq!(set.namespaces.len(), 1);
}

#[test]
fn says_what_is_no_file_and_never_waits_for_it() {
    let directory = Directory::new();
    directory.write("good.yaml", ROUTE);
    nix::unistd::mkfifo(&directory.path("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", directory.path("device.yaml")).unwrap();
    // Opens for anyone, root too, and cannot be read from its start.
    symlink("/proc/self/mem", directory.path("unreadable.yaml")).unwrap();
    symlink("loop.yaml", directory.path("loop.yaml")).unwrap();
    symlink("nowhere", directory.path("dangling.yaml")).unwrap();
    symlink(".", directory.path("again")).unwrap();
    let _socket = UnixListener::bind(directory.path("socket.yaml")).unwrap();
    directory.write("directory.yaml/inside.yaml", route("inside", ""));
    fs::File::create(directory.path("large.yaml")).unwrap().set_len(100 << 20).unwrap();
    directory.write("utf8.yaml", b"a: \xff\n");
    let set = directory.loader().load_at(NOW);
    assert_eq!(
        lines(&set),
        [
            "warning: again: leads to the configuration directory, which is read already [LoopingLink]",
            "error: dangling.yaml: leads to a file that does not exist [DanglingLink]",
            "error: device.yaml: is a device, expected a regular file; not read [NotAFile]",
            "warning: directory.yaml: is a directory; the files in it are read [NotAFile]",
            "error: fifo.yaml: is a FIFO, expected a regular file; not read [NotAFile]",
            "error: large.yaml: 104857600 bytes; a file has at most 16777216 (16 MiB) [FileTooLarge]",
            "error: loop.yaml: links lead in a circle [LoopingLink]",
            "error: socket.yaml: is a socket, expected a regular file; not read [NotAFile]",
            "error: unreadable.yaml: cannot be read: Input/output error (os error 5) [Unreadable]",
            "error: utf8.yaml:1:4: byte 0xff at offset 3 is not UTF-8 [InvalidEncoding]",
        ]
    );
    assert_eq!(names(&set), ["inside", "r"]);
}

#[test]
fn reads_again_only_what_changed() {
    let directory = Directory::new();
    directory.write("a.yaml", route("a", ""));
    directory.write("b.yaml", route("b", ""));
    let mut loader = directory.loader();
    loader.load_at(NOW);
    let read = |loader: &Loader, name: &str| Arc::clone(&loader.files[Path::new(name)].read);
    let before = (read(&loader, "a.yaml"), read(&loader, "b.yaml"));
    directory.write("b.yaml", route("c", ""));
    let set = loader.load_at(NOW);
    assert_eq!(names(&set), ["a", "c"]);
    assert!(Arc::ptr_eq(&before.0, &read(&loader, "a.yaml")));
    assert!(!Arc::ptr_eq(&before.1, &read(&loader, "b.yaml")));
    fs::remove_file(directory.path("a.yaml")).unwrap();
    assert_eq!(names(&loader.load_at(NOW)), ["c"]);
}

#[test]
fn takes_documents_that_stand_as_they_stood_from_before() {
    let directory = Directory::new();
    let text = |changed: &str| [route("a", ""), route("b", changed), route("c", "")].join("---\n");
    directory.write("all.yaml", text("  # one\n"));
    let mut loader = directory.loader();
    let documents = |loader: &mut Loader| {
        let set = loader.load_at(NOW);
        let read = &loader.files[Path::new("all.yaml")].read;
        (
            read.documents.clone(),
            set.http_routes.iter().map(|route| route.meta.generation).collect::<Vec<_>>(),
        )
    };
    let (before, _) = documents(&mut loader);
    directory.write("all.yaml", text("  rules: [{}]\n"));
    let (after, generations) = documents(&mut loader);
    let same: Vec<bool> = before.iter().zip(&after).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(same, [true, false, true]);
    assert_eq!(generations, [1, 2, 1]);
    directory.write("all.yaml", format!("# a line more\n{}", text("  rules: [{}]\n")));
    let (after, generations) = documents(&mut loader);
    assert_eq!(after[0].origin.to_string(), "all.yaml:2:1", "places are those of the text as it is");
    assert_eq!(generations, [1, 2, 1]);
}

#[test]
fn keeps_what_was_in_a_directory_that_cannot_be_listed() {
    let directory = Directory::new();
    directory.write("config/a.yaml", ROUTE);
    let mut loader = Loader::new(directory.path("config"), None);
    loader.load_at(NOW);
    fs::rename(directory.path("config"), directory.path("elsewhere")).unwrap();
    let set = loader.load_at(NOW);
    assert!(matches!(set.http_routes[0].spec, SpecState::Stale(..)));
    assert_eq!(errors(&set), 1, "{:?}", lines(&set));
}

#[test]
fn reads_directories_of_keys_as_a_kubelet_mounts_them_and_notices_renewal() {
    let directory = Directory::new();
    directory.write("secrets/shop/cert/..2026_1/tls.crt", "one");
    directory.write("secrets/shop/cert/..2026_1/tls.key", b"\x00\xff");
    directory.write("secrets/shop/cert/..2026_2/tls.crt", "two");
    let cert = directory.path("secrets/shop/cert");
    symlink("..2026_1", cert.join("..data")).unwrap();
    symlink("..data/tls.crt", cert.join("tls.crt")).unwrap();
    directory.write("live/fullchain.pem", "chain");
    directory.write("configmaps/shop/ca/ca.crt", "ca");
    directory.write("configmaps/shop/ca/ca.crt~", "old");
    fs::create_dir_all(directory.path("secrets/shop/certbot")).unwrap();
    symlink("../../../live/fullchain.pem", directory.path("secrets/shop/certbot/tls.crt")).unwrap();
    let mut loader = directory.loader();
    let set = loader.load_at(NOW);
    assert_eq!(lines(&set), [] as [String; 0]);
    let value = |set: &ManifestSet, index: usize| {
        let secret = set.secrets[index].spec.in_force().unwrap();
        String::from_utf8(secret.value("tls.crt").unwrap().to_vec()).unwrap()
    };
    assert_eq!((value(&set, 0), value(&set, 1)), ("one".to_owned(), "chain".to_owned()));
    assert_eq!(set.config_maps[0].spec.in_force().unwrap().value("ca.crt"), Some(b"ca".as_slice()));
    assert_eq!(set.config_maps[0].id.to_string(), "ConfigMap shop/ca");

    symlink("..2026_2", cert.join("..data_tmp")).unwrap();
    fs::rename(cert.join("..data_tmp"), cert.join("..data")).unwrap();
    directory.write("live/fullchain.pem", "renewed");
    let set = loader.load_at(NOW);
    assert_eq!((value(&set, 0), value(&set, 1)), ("two".to_owned(), "renewed".to_owned()));

    // Half a renewal leaves the object as it was.
    fs::remove_file(directory.path("live/fullchain.pem")).unwrap();
    let set = loader.load_at(NOW);
    assert_eq!(value(&set, 1), "renewed");
    let said = "secrets/shop/certbot/tls.crt: Secret shop/certbot: leads to a file that does not exist";
    assert_eq!(lines(&set), [format!("error: {said} [DanglingLink]")]);
}

#[test]
fn follows_data_swaps_of_manifests() {
    let directory = Directory::new();
    directory.write("..1/a.yaml", route("one", ""));
    directory.write("..2/a.yaml", route("two", ""));
    symlink("..1", directory.path("..data")).unwrap();
    symlink("..data/a.yaml", directory.path("a.yaml")).unwrap();
    let mut loader = directory.loader();
    assert_eq!(names(&loader.load_at(NOW)), ["one"]);
    symlink("..2", directory.path("..data_tmp")).unwrap();
    fs::rename(directory.path("..data_tmp"), directory.path("..data")).unwrap();
    assert_eq!(names(&loader.load_at(NOW)), ["two"]);
}

#[test]
fn one_file_under_two_names_is_a_duplicate() {
    let directory = Directory::new();
    directory.write("a.yaml", ROUTE);
    fs::hard_link(directory.path("a.yaml"), directory.path("b.yaml")).unwrap();
    let set = directory.loader().load_at(NOW);
    assert_eq!((names(&set), set.diagnostics.len()), (vec!["r"], 2));
}

#[test]
fn checks_single_files_and_directories() {
    let directory = Directory::new();
    directory.write("any.txt", route("a", ""));
    directory.write("d/b.yaml", route("b", ""));
    let paths = ["any.txt", "d", "missing.yaml"].map(|name| directory.path(name));
    let set = Loader::of_paths(paths).load_at(NOW);
    assert_eq!(names(&set), ["a", "b"]);
    assert_eq!(errors(&set), 1);
}

#[test]
fn believes_no_file_that_is_being_written() {
    let directory = Directory::new();
    directory.write("a.yaml", route("a", ""));
    directory.write("secrets/shop/cert/tls.crt", "one");
    let mut loader = directory.loader();
    loader.load_at(NOW);
    directory.write("a.yaml", route("half", ""));
    directory.write("secrets/shop/cert/tls.crt", "t");
    let busy = |path: &&Path| path.ends_with("a.yaml") || path.ends_with("tls.crt");
    let set = loader.load_unless(&mut |paths| paths.iter().map(busy).collect());
    assert_eq!((names(&set), errors(&set)), (vec!["a"], 0));
    let value =
        |set: &ManifestSet| set.secrets[0].spec.in_force().unwrap().value("tls.crt").unwrap().to_vec();
    assert_eq!(value(&set), b"one");
    let set = loader.load_at(NOW);
    assert_eq!((names(&set), value(&set)), (vec!["half"], b"t".to_vec()));
}

#[test]
fn asks_who_writes_once_for_many_files_and_holds_no_more_than_a_bounded_part_of_them() {
    let directory = Directory::new();
    for name in ["a", "b", "c"] {
        directory.write(&format!("{name}.yaml"), route(name, ""));
    }
    let mut asked = Vec::new();
    let mut ask = |loader: &mut Loader| {
        let set = loader.load_unless(&mut |paths| {
            asked.push(paths.len());
            paths.iter().map(|path| path.ends_with("b.yaml")).collect()
        });
        names(&set).join(" ")
    };
    assert_eq!(ask(&mut directory.loader()), "a c", "each has its own answer");
    // As long as a file may be, and one that is refused for its length without being read.
    for (name, length) in [("a", 16 << 20), ("c", 17 << 20)] {
        directory.write(&format!("{name}-.yaml"), vec![b'#'; length]);
    }
    assert_eq!(ask(&mut directory.loader()), "a c");
    assert_eq!(asked, [3, 1, 4]);
}
