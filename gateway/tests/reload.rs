use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::symlink,
};

use nix::sys::signal::Signal;

use crate::{
    backend::Backend,
    harness::{Gateway, Place, free_port, gateway_manifest, get, route_manifest, stdout, until},
};

/// A gateway with one listener, two backends to route to, and the listener's address.
struct Served {
    // First, so that its log is still there when a failed test prints it.
    gateway: Gateway,
    place: Place,
    one: Backend,
    two: Backend,
    address: SocketAddr,
}

fn served(prepare: impl FnOnce(&Place)) -> Served {
    let (place, port) = (Place::new(), free_port());
    place.write("gateway.yaml", &gateway_manifest(port));
    prepare(&place);
    let gateway = Gateway::start(&place);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Served { gateway, place, one: Backend::start("one"), two: Backend::start("two"), address }
}

impl Served {
    fn route(&self, backend: &Backend) -> String {
        route_manifest("r", "/", backend.port)
    }

    fn answers(&self, status: u16, body: &str) {
        until(&format!("{status} {body}"), || {
            let (found, text) = get(self.address, "/")?;
            (found == status && text.contains(body)).then_some(())
        });
    }
}

#[test]
fn rename_close_write_and_delete_are_live() {
    let served = served(|_| {});
    served.answers(404, "");
    served.place.write("route.yaml", &served.route(&served.one));
    served.answers(200, "one");
    fs::write(served.place.config("route.yaml"), served.route(&served.two)).expect("written");
    served.answers(200, "two");
    fs::remove_file(served.place.config("route.yaml")).expect("removed");
    served.answers(404, "");
    // Counted once the statuses are written, after clients see it.
    let published = "gateway_config_reloads_total{result=\"published\"}";
    until("each is counted", || served.gateway.metric(published).filter(|count| *count >= 4.0));
}

#[test]
fn a_data_directory_is_swapped_at_once() {
    let served = served(|_| {});
    let mount = served.place.config("mounted");
    for (version, backend) in [("..1", &served.one), ("..2", &served.two)] {
        fs::create_dir_all(mount.join(version)).expect("made");
        fs::write(mount.join(version).join("route.yaml"), served.route(backend)).expect("written");
    }
    symlink("..data/route.yaml", mount.join("route.yaml")).expect("linked");
    symlink("..1", mount.join("..data")).expect("linked");
    served.answers(200, "one");
    symlink("..2", mount.join("..data_tmp")).expect("linked");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("renamed");
    served.answers(200, "two");
}

#[test]
fn a_broken_file_keeps_serving_what_was_good() {
    let served = served(|_| {});
    served.place.write("route.yaml", &served.route(&served.one));
    served.answers(200, "one");
    served.place.write("route.yaml", "kind: [");
    served.place.write("also.yaml", &route_manifest("other", "/other", served.two.port));
    until("the other file is live", || {
        get(served.address, "/other").filter(|(_, text)| text.contains("two"))
    });
    served.answers(200, "one");
    assert!(served.gateway.log().contains("route.yaml:1"), "the diagnostic is logged");
    until("the route is marked stale", || {
        let text = stdout(&served.place.status(&["httproute/r"]));
        text.contains("Stale=True LastGood: The last good version is in force").then_some(())
    });
}

#[test]
fn what_was_good_is_served_after_a_restart_too() {
    let mut served = served(|_| {});
    served.place.write("route.yaml", &served.route(&served.one));
    served.answers(200, "one");
    served.place.write("route.yaml", "kind: [");
    until("the diagnostic is logged", || served.gateway.log().contains("route.yaml:1").then_some(()));
    served.gateway.signal(Signal::SIGTERM);
    assert!(served.gateway.wait().success());
    served.gateway = Gateway::start(&served.place);
    served.answers(200, "one");
}

#[test]
fn a_corrupt_memory_is_a_warning() {
    let served = served(|place| {
        fs::create_dir_all(place.path("state")).expect("made");
        fs::write(place.path("state/last-good.json"), "{nonsense").expect("written");
    });
    served.place.write("route.yaml", &served.route(&served.one));
    served.answers(200, "one");
    assert!(served.gateway.log().contains("last-good.json"), "{}", served.gateway.log());
}

#[test]
fn a_file_that_is_being_written_is_not_read() {
    let served = served(|_| {});
    let path = served.place.config("route.yaml");
    served.place.write("route.yaml", &served.route(&served.one));
    served.answers(200, "one");
    let mut file = File::create(&path).expect("truncated");
    let text = served.route(&served.two);
    let (first, rest) = text.split_at(text.len() / 2);
    file.write_all(first.as_bytes()).expect("written");
    served.place.write("also.yaml", &route_manifest("other", "/other", served.two.port));
    until("the other file is live", || {
        get(served.address, "/other").filter(|(_, text)| text.contains("two"))
    });
    served.answers(200, "one");
    assert!(!served.gateway.log().contains("route.yaml:"), "nobody has read half a file");
    file.write_all(rest.as_bytes()).expect("written");
    drop(file);
    served.answers(200, "two");
}

#[test]
fn sighup_reads_again_and_finds_nothing_new() {
    let served = served(|_| {});
    served.gateway.signal(Signal::SIGHUP);
    until("the reload is counted", || {
        served
            .gateway
            .metric("gateway_config_reloads_total{result=\"unchanged\"}")
            .filter(|count| *count >= 1.0)
    });
    assert_eq!(served.gateway.metric("gateway_config_generation "), Some(1.0));
}
