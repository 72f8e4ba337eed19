//! An interface where somebody else's XDP program is at work.

use std::io::ErrorKind;

use aya::{
    Ebpf, EbpfLoader,
    programs::{Xdp, XdpMode, links::FdLink},
};
use bpf::Hook;
use e2e::netns::GATEWAY;
use ebpf_common::names;

use crate::{
    object,
    site::{INTERFACE, PATIENCE, Site, limits, on},
};

/// A program that lets everything through: ours, with maps of its own, which nobody has written.
fn foreign(site: &Site, mode: XdpMode) -> (Ebpf, FdLink) {
    let file = object::directory().expect("it was there").join("gateway.bpf.o");
    let mut ebpf = EbpfLoader::new().load_file(file).expect("the object loads");
    let program: &mut Xdp = ebpf.program_mut(names::VETH).expect("it is there").try_into().expect("XDP");
    program.load().expect("it was loaded before");
    let id = site.wire.gateway.run(|| program.attach(INTERFACE, mode)).expect("nothing is there yet");
    let link = program.take_link(id).expect("it is attached").try_into().expect("it is a link");
    (ebpf, link)
}

/// Never replaced, said, and followed once it has gone.
fn left_alone(mode: XdpMode) {
    let Some(site) = Site::open() else { return };
    let (ebpf, link) = foreign(&site, mode);
    let before = link.info().expect("it is attached").program_id();
    let both = [Hook::Xdp, Hook::Tc];
    let mut kernel = site.start(&both).expect("the kernel half works here");
    kernel.tighten(&limits(&[GATEWAY], Some(0))).expect("rows are added");
    let tier =
        |kernel: &bpf::Kernel| kernel.tiers().map(|(_, tier)| tier.expect("one works").to_string()).next();
    assert_eq!(tier(&kernel).as_deref(), Some("TC"));
    let [why] = kernel.passed_over(INTERFACE) else { panic!("{:?}", kernel.passed_over(INTERFACE)) };
    assert!(why.contains("somebody else's XDP program") && why.contains(INTERFACE), "{why}");
    assert_eq!(link.info().expect("it is attached").program_id(), before);
    let _server = site.listen(GATEWAY);
    let refused = || site.connect(GATEWAY, PATIENCE).expect_err("none may connect").kind();
    assert_eq!(refused(), ErrorKind::ConnectionRefused);
    site.wire.gateway.run(|| kernel.attach(&on(&both))).expect("nothing has changed");
    assert_eq!(tier(&kernel).as_deref(), Some("TC"));
    site.wire.gateway.run(|| kernel.attach(&on(&[Hook::Xdp]))).expect("what does not work is said");
    let error = kernel.tiers().find_map(|(_, tier)| tier.err()).expect("there is no room").to_string();
    assert!(error.contains("somebody else's XDP program"), "{error}");
    drop((link, ebpf));
    site.wire.gateway.run(|| kernel.attach(&on(&both))).expect("there is room");
    assert_eq!(tier(&kernel).as_deref(), Some("XDP"), "once the other has gone");
    assert_eq!(kernel.passed_over(INTERFACE), [] as [String; 0]);
    assert_eq!(refused(), ErrorKind::ConnectionRefused);
    let links = site.pinned().iter().filter(|name| name.starts_with("on_")).count();
    assert_eq!(links, 1, "TC's is gone");
}

#[test]
fn a_foreign_xdp_program_is_left_alone_and_said() {
    left_alone(XdpMode::Driver);
}

#[test]
fn a_foreign_program_of_generic_xdp_is_left_alone_and_said() {
    left_alone(XdpMode::Skb);
}
