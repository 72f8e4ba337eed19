use std::{collections::BTreeSet, fmt, net::IpAddr};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
    },
};
use ebpf_common::names;
use nix::{
    ifaddrs::getifaddrs,
    libc,
    net::if_::InterfaceFlags,
    net::if_::{if_indextoname, if_nametoindex},
};

use crate::{
    Error, driver,
    error::{Cause, brief, code},
    pins::{self, Pins},
};

/// Where clients come in, and what may be used there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// By name, in the process's network namespace.
    pub names: Vec<String>,
    /// The first that works is used.
    pub hooks: Vec<Hook>,
    /// XDP in generic mode too, where the driver has no native one.
    pub generic_xdp: bool,
}

/// A place in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before the network stack. Never on a loopback, whose frames it would copy.
    Xdp,
    /// At the entrance of the network stack.
    Tc,
    /// Likewise, by the way that kernels before 6.6 have.
    Clsact,
}

/// What enforces limits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// XDP in the driver.
    XdpNative,
    /// XDP above the driver.
    XdpGeneric,
    /// TC by a pinned link (kernel 6.6).
    Tcx,
    /// TC by a filter of the clsact queueing discipline.
    Clsact,
}

impl Tier {
    /// The text in the metric's label `tier`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::XdpNative | Self::XdpGeneric => ebpf_common::Tier::Xdp.name(),
            Self::Tcx | Self::Clsact => ebpf_common::Tier::Tc.name(),
        }
    }
}

impl Tier {
    /// That it does not work, as the metrics' label `reason` has it.
    const fn lack(self) -> &'static str {
        match self {
            Self::XdpNative => "no_native_xdp",
            Self::XdpGeneric => "no_generic_xdp",
            Self::Tcx => "no_tcx",
            Self::Clsact => "no_clsact",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XdpNative => "XDP",
            Self::XdpGeneric => "generic XDP",
            Self::Tcx => "TC",
            Self::Clsact => "TC (clsact, not pinned)",
        })
    }
}

/// A program at work on an interface.
#[derive(Debug)]
pub(crate) struct Attached {
    /// How.
    pub(crate) tier: Tier,
    /// Tells the interface from a later one of the same name.
    pub(crate) index: u32,
    /// Why no tier before this one; empty: there is none.
    pub(crate) passed_over: Vec<String>,
    /// True: one before it may work once somebody else's program is gone.
    pub(crate) is_second: bool,
    /// What is less than it could be, in a word each.
    pub(crate) lacks: Vec<&'static str>,
    held: Held,
}

/// What keeps it attached.
#[derive(Debug)]
enum Held {
    /// The pin of that name.
    Pin(String),
    /// This process; the kernel keeps the filter if it is killed.
    Filter { _link: SchedClassifierLink },
}

/// Priority and handle of our clsact filter, which find it again after a crash.
const FILTER: (u16, TcHandle) = (0xC0, TcHandle::new(0, 1));

impl Attached {
    /// Attaches the first of the allowed hooks that works, or takes over what an earlier process has pinned there.
    pub(crate) fn attach(
        programs: &mut Ebpf,
        pins: &Pins,
        netns: u64,
        name: &str,
        interfaces: &Interfaces,
    ) -> Result<Self, Error> {
        let index = index(name).ok_or_else(|| Error::NoInterface { name: name.to_owned() })?;
        let mut site = Site { programs, pins, netns, name, index };
        let (mut tried, mut lacks, mut is_second) = (Vec::new(), Vec::new(), false);
        for hook in &interfaces.hooks {
            let tiers: &[Tier] = match hook {
                Hook::Xdp if is_loopback(name) => {
                    tried.push(format!("{}: {LOOPBACK}", Tier::XdpNative));
                    continue;
                }
                Hook::Xdp if interfaces.generic_xdp => &[Tier::XdpNative, Tier::XdpGeneric],
                Hook::Xdp => &[Tier::XdpNative],
                Hook::Tc => &[Tier::Tcx, Tier::Clsact],
                Hook::Clsact => &[Tier::Clsact],
            };
            for tier in tiers {
                match site.attach(*tier) {
                    Ok(held) => {
                        return Ok(Self { tier: *tier, index, passed_over: tried, is_second, lacks, held });
                    }
                    Err(error) if is_occupied(*tier, &*error) => {
                        is_second = true;
                        lacks.push("foreign_xdp");
                        tried.push(format!("{tier}: {OCCUPIED}, see `ip link show dev {name}`"));
                        // Nor in the other mode: one interface has one.
                        break;
                    }
                    Err(error) => {
                        lacks.push(tier.lack());
                        tried.push(format!("{tier}: {}", brief(&*error)));
                    }
                }
            }
        }
        Err(Error::Interface { name: name.to_owned(), tried })
    }

    /// Ends it, so that the hook is free.
    pub(crate) fn let_go(&self, pins: &Pins) -> Result<(), Error> {
        self.pin().map_or(Ok(()), |pin| pins.remove_link(pin))
    }

    /// The pin that holds it.
    pub(crate) fn pin(&self) -> Option<&str> {
        match &self.held {
            Held::Pin(name) => Some(name),
            Held::Filter { .. } => None,
        }
    }
}

const LOOPBACK: &str = "a loopback has none, and in generic mode it would copy every segment";

const OCCUPIED: &str = "somebody else's XDP program is there, and is left alone";

/// True: another program is where ours was to be. An interface has one XDP program, and a link never takes the place
/// of one that is there (`dev_xdp_attach` in `net/core/dev.c`).
fn is_occupied(tier: Tier, error: &(dyn std::error::Error + 'static)) -> bool {
    let mut codes = std::iter::successors(Some(error), |error| error.source()).filter_map(code);
    tier.label() == Tier::XdpNative.label() && codes.any(|code| code == libc::EBUSY || code == libc::EEXIST)
}

/// Begins the name of every pin of an interface.
pub(crate) const PIN_PREFIX: &str = "on_";

/// One interface and what is needed to attach there.
struct Site<'a> {
    programs: &'a mut Ebpf,
    pins: &'a Pins,
    netns: u64,
    name: &'a str,
    index: u32,
}

impl Site<'_> {
    fn attach(&mut self, tier: Tier) -> Result<Held, Cause> {
        match tier {
            Tier::XdpNative => self.xdp("xdp", XdpMode::Driver),
            Tier::XdpGeneric => self.xdp("xdpgeneric", XdpMode::Skb),
            Tier::Tcx => self.tcx(),
            Tier::Clsact => self.clsact(),
        }
    }

    /// Interfaces are told apart by index: names may hold dots and be given again.
    fn pin_name(&self, kind: &str) -> String {
        format!("{PIN_PREFIX}{kind}_{}_{}", self.netns, self.index)
    }

    fn xdp(&mut self, kind: &str, mode: XdpMode) -> Result<Held, Cause> {
        let pin = self.pin_name(kind);
        let program = xdp_program(self.programs, self.name)?;
        // An atomic swap under the pin; it fails where the interface has gone and come again.
        let swapped = earlier(self.pins, &pin)
            .and_then(|link| program.attach_to_link(link.try_into()?).map_err(Cause::from));
        if let Ok(id) = swapped {
            drop(program.take_link(id)?);
            return Ok(Held::Pin(pin));
        }
        self.pins.remove_link(&pin)?;
        let id = program.attach_to_if_index(self.index, mode)?;
        let link: FdLink = program.take_link(id)?.try_into()?;
        link.pin(self.pins.path(&pin))?;
        Ok(Held::Pin(pin))
    }

    fn tcx(&mut self) -> Result<Held, Cause> {
        let pin = self.pin_name("tcx");
        let program = tc_program(self.programs)?;
        let swapped = earlier(self.pins, &pin)
            .and_then(|link| program.attach_to_link(link.try_into()?).map_err(Cause::from));
        if let Ok(id) = swapped {
            drop(program.take_link(id)?);
            return Ok(Held::Pin(pin));
        }
        self.pins.remove_link(&pin)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = program.attach_with_options(self.name, TcAttachType::Ingress, order)?;
        let link: FdLink = program.take_link(id)?.try_into()?;
        link.pin(self.pins.path(&pin))?;
        Ok(Held::Pin(pin))
    }

    fn clsact(&mut self) -> Result<Held, Cause> {
        let program = tc_program(self.programs)?;
        // It may be there already, ours or somebody's.
        let _ = tc::qdisc_add_clsact(self.name);
        let (priority, handle) = FILTER;
        if let Ok(link) =
            SchedClassifierLink::attached(self.name, TcAttachType::Ingress, priority, handle, None)
        {
            // Left by a process that was killed. Dropping the link detaches the filter, if there is one.
            drop(link);
        }
        let options = TcAttachOptions::Netlink(NlOptions { priority, handle, classid: None });
        let id = program.attach_with_options(self.name, TcAttachType::Ingress, options)?;
        Ok(Held::Filter { _link: program.take_link(id)? })
    }
}

fn earlier(pins: &Pins, name: &str) -> Result<FdLink, Cause> {
    Ok(PinnedLink::from_pin(pins.path(name))?.into())
}

/// The program for frames in several buffers, where the kernel takes it; else the other one.
fn xdp_program<'a>(programs: &'a mut Ebpf, interface: &str) -> Result<&'a mut Xdp, Cause> {
    let (frags, plain) = match driver::name(interface).as_deref() {
        Some("veth") => (names::VETH_FRAGS, names::VETH),
        _ => (names::XDP_FRAGS, names::XDP),
    };
    let name = if load_xdp(programs, frags).is_ok() { frags } else { plain };
    load_xdp(programs, name)
}

fn load_xdp<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, Cause> {
    let program: &mut Xdp = programs.program_mut(name).ok_or("the object has no such program")?.try_into()?;
    once(program.load())?;
    Ok(program)
}

fn tc_program(programs: &mut Ebpf) -> Result<&mut SchedClassifier, Cause> {
    let program: &mut SchedClassifier =
        programs.program_mut(names::TC).ok_or("the object has no such program")?.try_into()?;
    once(program.load())?;
    Ok(program)
}

fn once(loaded: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        other => other,
    }
}

/// The interface's index; `None`: there is none of that name.
pub(crate) fn index(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

/// The name of the interface of that index; `None`: there is none.
pub(crate) fn name_of(index: u32) -> Option<String> {
    if_indextoname(index).ok()?.into_string().ok()
}

fn is_loopback(name: &str) -> bool {
    let Ok(mut addresses) = getifaddrs() else { return name == "lo" };
    addresses.any(|entry| entry.interface_name == name && entry.flags.contains(InterfaceFlags::IFF_LOOPBACK))
}

/// The addresses of every interface of the thread's network namespace.
pub(crate) fn addresses() -> BTreeSet<IpAddr> {
    let storages = getifaddrs().into_iter().flatten().filter_map(|interface| interface.address);
    let addresses = storages.filter_map(|storage| {
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    addresses.collect()
}

/// Removes the pins of interfaces that are not named any more.
pub(crate) fn remove_others<'a>(pins: &Pins, keep: impl Iterator<Item = &'a Attached>) -> Result<(), Error> {
    let keep: Vec<&str> = keep.filter_map(Attached::pin).collect();
    let others = pins.names(PIN_PREFIX).into_iter().filter(|name| !keep.contains(&name.as_str()));
    others.into_iter().try_for_each(|name| pins.remove_link(&name))
}

/// True if the pin is still there: somebody may have cleaned up by hand.
pub(crate) fn is_held(pins: &Pins, attached: &Attached) -> bool {
    attached.pin().is_none_or(|name| pins::exists(&pins.path(name)))
}
