use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use aya::{Ebpf, EbpfLoader, programs::SockOps};
use ebpf_common::names;

use crate::{
    Error, Events,
    counters::Counters,
    counting,
    earlier::Earlier,
    interface::{self, Attached, Interfaces, Tier},
    limits::Limits,
    netns,
    object::Object,
    pins::Pins,
    rows::Rows,
    sources::Sources,
};

/// What the kernel half needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the object file; `None`: `bpf` beside the executable, else `../lib/gateway`.
    pub object_dir: Option<PathBuf>,
    /// A BPF file system, or a directory in one.
    pub pin_dir: PathBuf,
    /// Where clients come in.
    pub interfaces: Interfaces,
    /// Most resets that a processor sends in a second; further segments are refused without an answer.
    pub resets_per_second: NonZeroU32,
    /// Most refusals that a processor tells of in a second, after as many at once; the others are counted.
    pub events_per_second: NonZeroU32,
    /// Addresses and networks that connections can be counted by, over all policies; the kernel takes some 150 bytes for
    /// each when the programs start, and the one that was seen last the longest ago makes room. `None`: none can, as long
    /// as no policy asks for it.
    pub sources: Option<NonZeroU32>,
    /// Connections whose PROXY header may be read at a time; `None`: none is read.
    pub headers: Option<NonZeroU32>,
}

/// The kernel half at work. Dropping it leaves everything pinned as it is; a filter of clsact, which cannot be pinned, goes
/// with it, unless the process is killed. [`Kernel::detach`] ends it.
pub struct Kernel {
    programs: Ebpf,
    pins: Pins,
    netns: u64,
    rows: Rows,
    counters: Counters,
    sources: Option<Sources>,
    earlier: Earlier,
    wanted: Interfaces,
    attached: BTreeMap<String, Result<Attached, Error>>,
}

impl Kernel {
    /// Loads the programs, starts counting, and attaches to every interface where something works. Takes over the
    /// maps and links that an earlier process has left. Fails where connections cannot be counted; that nothing
    /// works on an interface is no failure, see [`Kernel::tiers`].
    pub fn start(options: &Options) -> Result<Self, Error> {
        let object = Object::find(options.object_dir.as_deref())?;
        let pins = Pins::open(&options.pin_dir)?;
        let netns = netns::cookie()?;
        let mut loader = EbpfLoader::new();
        loader.override_global(names::NETNS, &netns, true);
        let interval = |per_second: NonZeroU32| 1_000_000_000 / u64::from(per_second.get());
        let (resets, events) = (interval(options.resets_per_second), interval(options.events_per_second));
        loader.override_global(names::RESET_INTERVAL, &resets, true);
        loader.override_global(names::EVENT_INTERVAL, &events, true);
        loader.override_global(names::HEADERS, headers_constant(options.headers), true);
        let rooms = [
            (names::SOURCES, options.sources),
            (names::BUCKETS, options.sources.map(half)),
            (names::BEGINNINGS, options.headers),
        ];
        for (name, room) in rooms {
            let room = room.map_or(1, NonZeroU32::get);
            // What an earlier process has left is as good if it is as large, and knows who is connected.
            if pins.room(name).is_some_and(|left| left < room) {
                pins.remove(name)?;
            }
            loader.map_max_entries(name, room);
        }
        let paths: Vec<_> = pins.maps().map(|(name, ..)| (name, pins.path(name))).collect();
        for (name, path) in &paths {
            loader.map_pin_path(name, path.as_path());
        }
        let programs = loader.load(&object.bytes).map_err(load_error)?;
        let rows = Rows::open(&pins, netns)?;
        let counters = Counters::open(&pins, Some(&programs), netns)?;
        let sources = options.headers.map(|_| Sources::open(&pins, netns)).transpose()?;
        let earlier = Earlier::find(&pins, netns);
        let mut kernel = Self {
            programs,
            pins,
            netns,
            rows,
            counters,
            sources,
            earlier,
            wanted: Interfaces::default(),
            attached: BTreeMap::new(),
        };
        kernel.take_over(&options.interfaces)?;
        Ok(kernel)
    }

    /// What another layout's programs enforce and count goes over without a gap: the new ones know the same limits
    /// before they take their places, and what the others go on to count is taken off those. For an instant both count
    /// who comes, which is too strict and never too lax.
    fn take_over(&mut self, interfaces: &Interfaces) -> Result<(), Error> {
        if !self.earlier.is_empty() {
            self.rows.know(&interface::addresses())?;
            self.carry()?;
            self.rows.tighten(&self.earlier.limits())?;
            self.earlier.hand_over_links(&self.pins);
        }
        counting::attach(counting_program(&mut self.programs)?, &self.pins)?;
        self.attach(interfaces)?;
        self.earlier.close();
        self.carry()
    }

    /// Takes from the limits what another layout's programs still count. To be called again and again as long as
    /// [`Kernel::carries`] says so.
    pub fn carry(&mut self) -> Result<(), Error> {
        let open = self.earlier.open();
        self.counters.carry(&open);
        self.rows.carry(open)
    }

    /// True: connections are open that another layout's programs count.
    pub fn carries(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Attaches to the interfaces that are named and not attached to yet, as after a change of the configuration,
    /// or since an interface has come, gone or come again; lets go of the others, and learns the host's addresses
    /// again. Fails where pins cannot be removed or addresses not be written.
    pub fn attach(&mut self, interfaces: &Interfaces) -> Result<(), Error> {
        self.rows.know(&interface::addresses())?;
        let mut before = std::mem::take(&mut self.attached);
        // First what is let go of: a bond takes no program while one of its ports has one. An interface that has
        // another name now keeps what it has.
        let named: Vec<u32> = interfaces.names.iter().filter_map(|name| interface::index(name)).collect();
        let is_gone = |attached: &Attached| !named.contains(&attached.index);
        before
            .values()
            .flatten()
            .filter(|attached| is_gone(attached))
            .try_for_each(|gone| gone.let_go(&self.pins))?;
        let same_hooks =
            self.wanted.hooks == interfaces.hooks && self.wanted.generic_xdp == interfaces.generic_xdp;
        for name in &interfaces.names {
            if let Some(Ok(attached)) = before.remove(name)
                && same_hooks
                && !attached.is_second
                && self.is_in_place(name, &attached)
            {
                self.attached.insert(name.clone(), Ok(attached));
            }
        }
        // A filter of clsact goes with its link, which finds it by a handle: the next one's is the same.
        drop(before);
        for name in &interfaces.names {
            if !self.attached.contains_key(name) {
                let held = Attached::attach(&mut self.programs, &self.pins, self.netns, name, interfaces);
                self.attached.insert(name.clone(), held);
            }
        }
        self.wanted = interfaces.clone();
        interface::remove_others(&self.pins, self.attached.values().flatten())
    }

    /// False: somebody has removed what counts connections, so that counts are not to be believed any more.
    pub fn is_counting(&self) -> bool {
        counting::is_pinned(&self.pins)
    }

    /// What enforces limits on each named interface, or why nothing does.
    pub fn tiers(&self) -> impl Iterator<Item = (&str, Result<Tier, &Error>)> {
        self.attached
            .iter()
            .map(|(name, attached)| (name.as_str(), attached.as_ref().map(|attached| attached.tier)))
    }

    /// Why an interface has no better tier than it has, each tier that was tried; empty: it has the best of those
    /// that may be used.
    pub fn passed_over(&self, interface: &str) -> &[String] {
        match self.attached.get(interface) {
            Some(Ok(attached)) => &attached.passed_over,
            _ => &[],
        }
    }

    /// Where less works than could, in a word as metrics have it: by interface, or, with an empty name, everywhere. A
    /// loopback that has no XDP lacks nothing.
    pub fn lacks(&self) -> Vec<(String, &'static str)> {
        let lacks = self.attached.iter().flat_map(|(name, attached)| {
            let lacks = match attached {
                Ok(attached) => attached.lacks.clone(),
                Err(error) => vec![error.reason()],
            };
            lacks.into_iter().map(|lack| (name.clone(), lack))
        });
        let carries = self.carries().then(|| (String::new(), "earlier_layout"));
        lacks.chain(carries).collect()
    }

    /// Before a configuration is published, and before its new sockets listen: adds rows, lowers limits.
    pub fn tighten(&mut self, limits: &Limits) -> Result<(), Error> {
        self.rows.tighten(limits)
    }

    /// After a configuration is published: raises limits, removes rows.
    pub fn loosen(&mut self, limits: &Limits) -> Result<(), Error> {
        self.rows.loosen(limits)
    }

    /// True: connections can be counted by source and network.
    pub fn tracks_sources(&self) -> bool {
        self.pins.room(names::SOURCES).is_some_and(|room| room > 1)
    }

    /// Who is really calling; `None`: no PROXY header is read.
    pub fn sources(&self) -> Option<&Sources> {
        self.sources.as_ref()
    }

    /// What the programs count.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the programs tell of. One at a time reads.
    pub fn events(&self) -> Result<Events, Error> {
        Events::open(&self.programs)
    }

    /// Ends it: nothing is refused or counted any more, and no pin is left.
    pub fn detach(self) {
        let Self { programs, pins, attached, mut rows, .. } = self;
        // A filter that an earlier process has left on an interface that is named no more would go on, with counts
        // that nobody keeps: without rows it refuses nothing.
        if let Err(error) = rows.loosen(&Limits::new()) {
            tracing::warn!(%error, "cannot empty the kernel's limits");
        }
        drop(attached);
        pins.remove_all();
        drop(programs);
    }

    /// Leaves everything to another process that has taken it over: what is pinned, and filters that are not.
    pub fn leave(self) {
        // A filter of clsact would go with its link, and is the other's by now: it has the same handle.
        std::mem::forget(self.attached);
    }

    fn is_in_place(&self, name: &str, attached: &Attached) -> bool {
        interface::index(name) == Some(attached.index) && interface::is_held(&self.pins, attached)
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("pins", &self.pins)
            .field("attached", &self.attached)
            .finish_non_exhaustive()
    }
}

/// True: the running kernel is 5.18 or newer, from which on PROXY headers can be read in it.
pub fn can_read_headers() -> bool {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (5, 18)
}

/// As the programs know whether headers are read.
const fn headers_constant(headers: Option<NonZeroU32>) -> &'static u64 {
    if headers.is_some() { &1 } else { &0 }
}

/// Buckets for new connections: they matter for as long as a bucket takes to fill.
fn half(sources: NonZeroU32) -> NonZeroU32 {
    NonZeroU32::new(sources.get() / 2).unwrap_or(sources)
}

fn counting_program(programs: &mut Ebpf) -> Result<&mut SockOps, Error> {
    let missing = || load_error("the object has no program that counts connections");
    let program = programs.program_mut(names::SOCK_OPS).ok_or_else(missing)?;
    let program: &mut SockOps = program.try_into().map_err(load_error::<aya::programs::ProgramError>)?;
    program.load().map_err(load_error)?;
    Ok(program)
}

fn load_error<E: Into<crate::error::Cause>>(error: E) -> Error {
    Error::Load { source: error.into() }
}
