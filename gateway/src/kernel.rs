//! The kernel half as the reload loop sees it: at work, or not and why. What it does not do, user space does: its
//! absence or failure never changes who is served.

mod board;
mod callers;
mod choice;
mod limits;
mod policy;
mod view;
mod watcher;

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32, path::PathBuf};

use anyhow::{Result, bail, ensure};
use bpf::{Hook, Interfaces, Kernel, Limits, Options};
use ir::{KernelMode, KernelSettings, KernelTier};
use prometheus::Registry;
use proxy::Teller;

use board::Board;
pub(crate) use callers::Callers;
pub(crate) use limits::{drops, most, refuses, refuses_by_header};
pub(crate) use view::View;
use watcher::Watcher;

use crate::host;

/// Resets that a processor sends in a second: about a tenth of its time. A flood of SYNs from forged senders is not
/// sent on to those beyond that.
const RESETS_PER_SECOND: NonZeroU32 = NonZeroU32::new(100_000).expect("it is not zero");

/// Refusals that a processor tells of in a second; the others are counted.
const EVENTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(100).expect("it is not zero");

/// Sources that are kept track of once a policy asks for it: in some 161 MB of the kernel's memory.
const SOURCES: NonZeroU32 = NonZeroU32::new(1_000_000).expect("it is not zero");

/// Connections whose PROXY headers are read at a time: with more, the oldest are read by user space alone.
const HEADERS: NonZeroU32 = NonZeroU32::new(65_536).expect("it is not zero");

/// The kernel half of one appliance.
#[derive(Debug)]
pub(crate) struct KernelHalf {
    object_dir: Option<PathBuf>,
    pin_dir: PathBuf,
    state: State,
    settings: KernelSettings,
    /// What the configuration asks the kernel to refuse.
    limits: Limits,
    /// What it asks of the programs beyond counting.
    needs: Needs,
    callers: Callers,
    /// Where listeners are bound.
    listening: BTreeSet<IpAddr>,
    /// Why its rows are not those of the configuration, in a word.
    amiss: Option<&'static str>,
    board: Board,
    teller: Teller,
    /// Tells of what the programs at work refuse.
    watcher: Option<Watcher>,
}

/// What the programs are started with, since it costs memory or time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Needs {
    /// A policy counts connections by source, or gives sources buckets.
    sources: bool,
    /// Connections begin with PROXY headers.
    headers: bool,
}

#[derive(Debug)]
enum State {
    /// User space alone enforces.
    Accept(Absence),
    /// It counts, and refuses where an interface has a tier.
    AtWork(Box<Kernel>),
}

/// Why the kernel half is not at work.
#[derive(Clone, Debug, Default)]
struct Absence {
    /// For people.
    why: String,
    /// In a word, for metrics; `None`: nobody wants it.
    reason: Option<&'static str>,
}

impl KernelHalf {
    /// Starts what the configuration asks for and the machine allows, and registers its metrics. Fails where it is
    /// required and some interface would go without; then no pin is left, unless a predecessor needs them.
    pub(crate) fn start(
        object_dir: Option<PathBuf>,
        pin_dir: PathBuf,
        config: &ir::Gateway,
        registry: &Registry,
        has_predecessor: bool,
        teller: Teller,
    ) -> Result<Self> {
        let (state, board) = (State::Accept(Absence::default()), Board::register(registry));
        let settings = config.appliance.kernel.clone();
        let (mode, listening, limits) = (settings.mode, choice::listening(config), limits::of(config));
        let (needs, callers) = (Needs::of(&limits), Callers::default());
        let mut half = Self {
            object_dir,
            pin_dir,
            state,
            settings,
            limits,
            needs,
            callers,
            listening,
            amiss: None,
            board,
            teller,
            watcher: None,
        };
        half.begin();
        half.settled();
        match half.ensure_complete() {
            Err(error) if mode == KernelMode::Require => {
                if has_predecessor {
                    half.leave();
                } else {
                    half.stop();
                }
                Err(error)
            }
            _ => Ok(half),
        }
    }

    /// Who is calling, for those who serve.
    pub(crate) fn callers(&self) -> Callers {
        self.callers.clone()
    }

    /// Before a configuration is published and its new sockets listen: follows the settings, adds rows and lowers
    /// limits.
    pub(crate) fn tighten(&mut self, config: &ir::Gateway) {
        self.listening = choice::listening(config);
        self.limits = limits::of(config);
        self.needs = Needs::of(&self.limits);
        self.callers.name(limits::quotas(config));
        self.follow(&config.appliance.kernel);
        let log = config.appliance.access_log.then_some(config.appliance.log_format);
        self.board.name(limits::shown(config), log);
        let State::AtWork(kernel) = &mut self.state else { return };
        if let Err(error) = kernel.tighten(&self.limits) {
            tracing::error!(%error, "the kernel's limits are not those of the configuration; user space enforces them");
            self.amiss = Some(error.reason());
            self.settled();
        }
    }

    /// After every worker serves the configuration: raises limits and removes rows. Where the kernel half is not at work
    /// no pin is left: a predecessor, if there was one, has handed over by now.
    pub(crate) fn loosen(&mut self) {
        self.board.settle();
        let State::AtWork(kernel) = &mut self.state else { return bpf::clean(&self.pin_dir) };
        let amiss = kernel.loosen(&self.limits).map_err(|error| {
            tracing::error!(%error, "the kernel's limits may be lower than those of the configuration");
            error.reason()
        });
        let before = std::mem::replace(&mut self.amiss, amiss.err());
        if self.amiss != before {
            self.settled();
        }
    }

    /// Looks for interfaces that have come, gone or come again, and for the host's addresses. True: the tiers are
    /// others than before.
    pub(crate) fn look_again(&mut self) -> bool {
        let before = self.line();
        self.notice_its_end();
        if let State::AtWork(kernel) = &mut self.state {
            attach(kernel, &self.settings, &self.listening);
            self.settled();
        }
        before != self.line()
    }

    /// What it does at any moment, for who explains it.
    pub(crate) fn view(&self) -> View {
        View::new(&self.board)
    }

    /// True: programs of another map layout still count connections, and [`KernelHalf::carry`] is to be called until
    /// they do not.
    pub(crate) fn carries(&self) -> bool {
        matches!(&self.state, State::AtWork(kernel) if kernel.carries())
    }

    /// Gives room for connections that have ended meanwhile and were counted by programs of another map layout.
    pub(crate) fn carry(&mut self) {
        let State::AtWork(kernel) = &mut self.state else { return };
        if !kernel.carries() {
            return;
        }
        if let Err(error) = kernel.carry() {
            tracing::error!(%error, "the kernel's limits may be lower than those of the configuration");
        }
        if !kernel.carries() {
            self.settled();
        }
    }

    /// In one line: the tier of each interface, or why there is none.
    pub(crate) fn line(&self) -> String {
        match &self.state {
            State::Accept(Absence { why, .. }) => format!("accept: {why}"),
            State::AtWork(kernel) => {
                let tiers = kernel.tiers().map(|(name, tier)| match (tier, kernel.passed_over(name)) {
                    (Ok(tier), []) => format!("{tier} on {name}"),
                    (Ok(tier), others) => format!("{tier} on {name} (not {})", others.join(", ")),
                    (Err(error), _) => format!("accept on {name}: {error}"),
                });
                let tiers = tiers.collect::<Vec<_>>().join("; ");
                match (self.settings.interfaces.is_empty(), tiers.is_empty()) {
                    (true, true) => {
                        "accept: no interface carries an address that a listener is bound to".to_owned()
                    }
                    (true, false) => format!("{tiers}; chosen by the addresses that listeners are bound to"),
                    (false, _) => tiers,
                }
            }
        }
    }

    /// Leaves it as it is, to the successor that has taken it over.
    pub(crate) fn leave(self) {
        if let State::AtWork(kernel) = self.state {
            kernel.leave();
        }
    }

    /// Takes it over again, from a successor that was none.
    pub(crate) fn retake(&mut self, config: &ir::Gateway) {
        let is_ours =
            matches!(self.state, State::AtWork(_)) || wanted(&self.settings, &self.listening).is_ok();
        if is_ours {
            self.state = State::Accept(Absence::default());
            self.begin();
            self.settled();
            self.tighten(config);
            self.loosen();
        }
    }

    /// Ends it in an orderly way: no pin is left.
    pub(crate) fn stop(self) {
        match self.state {
            State::AtWork(kernel) => kernel.detach(),
            State::Accept(_) => bpf::clean(&self.pin_dir),
        }
    }

    /// Somebody has ended it (`gateway ebpf detach --force`): its counts stand still, and nothing may be refused by
    /// them.
    fn notice_its_end(&mut self) {
        if matches!(&self.state, State::AtWork(kernel) if !kernel.is_counting()) {
            let why = "its pins were removed; it is back with the next start".to_owned();
            let absence = Absence { why, reason: Some("pins") };
            if let State::AtWork(kernel) = std::mem::replace(&mut self.state, State::Accept(absence)) {
                kernel.detach();
            }
            self.settled();
        }
    }

    fn follow(&mut self, settings: &KernelSettings) {
        self.notice_its_end();
        self.make_room();
        if *settings == self.settings {
            self.look_again();
            return;
        }
        let is_wanted = wanted(settings, &self.listening).is_ok();
        self.settings = settings.clone();
        match &mut self.state {
            State::AtWork(kernel) if is_wanted => attach(kernel, settings, &self.listening),
            _ => self.begin(),
        }
        self.settled();
        if settings.mode == KernelMode::Require
            && let Err(error) = self.ensure_complete()
        {
            tracing::error!("{error}; a start with this configuration would fail");
        }
    }

    /// Starts the programs again with what they need, once the configuration asks for it: what is at work is taken over, as
    /// after a crash.
    fn make_room(&mut self) {
        let State::AtWork(kernel) = &self.state else { return };
        let has = Needs { sources: kernel.tracks_sources(), headers: kernel.sources().is_some() };
        if has.sources >= self.needs.sources && has.headers >= self.needs.headers {
            return;
        }
        // What was there once stays.
        self.needs =
            Needs { sources: self.needs.sources || has.sources, headers: self.needs.headers || has.headers };
        // What is dropped stays pinned, and goes on until the others take its place.
        self.state = State::Accept(Absence::default());
        self.begin();
        self.settled();
    }

    /// Ends what is at work and starts afresh, as the settings say.
    fn begin(&mut self) {
        match std::mem::replace(&mut self.state, State::Accept(Absence::default())) {
            State::AtWork(kernel) => kernel.detach(),
            State::Accept(_) => {}
        }
        self.state = self.started();
        self.watch();
    }

    /// Tells of what the programs at work refuse, and no more of what those before them did.
    fn watch(&mut self) {
        self.watcher = None;
        let State::AtWork(kernel) = &self.state else { return };
        match Watcher::start(kernel, &self.board, &self.teller) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => tracing::error!("what the kernel refuses is counted and not told: {error:#}"),
        }
    }

    fn started(&self) -> State {
        let started = wanted(&self.settings, &self.listening).and_then(|interfaces| {
            let options = Options {
                object_dir: self.object_dir.clone(),
                pin_dir: self.pin_dir.clone(),
                interfaces,
                resets_per_second: RESETS_PER_SECOND,
                events_per_second: EVENTS_PER_SECOND,
                sources: self.needs.sources.then_some(SOURCES),
                headers: self.needs.headers.then_some(HEADERS),
            };
            Kernel::start(&options)
                .map_err(|error| Absence { why: error.to_string(), reason: Some(error.reason()) })
        });
        started.map_or_else(State::Accept, |kernel| State::AtWork(Box::new(kernel)))
    }

    /// Tells of what is at work now.
    fn settled(&self) {
        let line = self.line();
        self.callers.ask(match &self.state {
            State::AtWork(kernel) => kernel.sources().cloned(),
            State::Accept(_) => None,
        });
        let (counters, tiers, complete) = match &self.state {
            State::Accept(Absence { reason: None, .. }) => (None, Vec::new(), true),
            State::Accept(_) => {
                let names = wanted(&self.settings, &self.listening).map(|wanted| wanted.names);
                (None, names.unwrap_or_default().into_iter().map(|name| (name, "accept")).collect(), false)
            }
            State::AtWork(kernel) => {
                let tier = |(name, tier): (&str, Result<bpf::Tier, _>)| {
                    (name.to_owned(), tier.map_or("accept", bpf::Tier::label))
                };
                let complete = kernel.tiers().all(|(_, tier)| tier.is_ok()) && self.amiss.is_none();
                (Some(kernel.counters().clone()), kernel.tiers().map(tier).collect(), complete)
            }
        };
        if self.board.show(counters, tiers, self.degraded(), &line) {
            if complete {
                tracing::info!(tiers = line, "connections over their limit are refused early");
            } else {
                tracing::warn!(tiers = line, "not everywhere are connections over their limit refused early");
            }
        }
    }

    /// What does less than it could, for metrics.
    fn degraded(&self) -> Vec<(String, &'static str)> {
        let (mut degraded, all) = match &self.state {
            State::Accept(Absence { reason, .. }) => (Vec::new(), *reason),
            State::AtWork(kernel) => (kernel.lacks(), self.amiss),
        };
        degraded.extend(all.map(|reason| (String::new(), reason)));
        degraded
    }

    fn ensure_complete(&self) -> Result<()> {
        match &self.state {
            State::Accept(Absence { why, .. }) => {
                bail!("the kernel half is required and does not work: {why}")
            }
            State::AtWork(kernel) => {
                let without: Vec<String> =
                    kernel.tiers().filter_map(|(_, tier)| tier.err()).map(ToString::to_string).collect();
                ensure!(
                    without.is_empty(),
                    "the kernel half is required on every interface: {}",
                    without.join("; ")
                );
                Ok(())
            }
        }
    }
}

impl Needs {
    fn of(limits: &Limits) -> Self {
        Self {
            sources: limits.values().any(bpf::Limit::tracks),
            headers: limits.values().any(|limit| limit.proxied.is_some()) && bpf::can_read_headers(),
        }
    }
}

/// Where the kernel half is to work, or why it is not to.
fn wanted(settings: &KernelSettings, listening: &BTreeSet<IpAddr>) -> Result<Interfaces, Absence> {
    let KernelSettings { mode, interfaces, generic_xdp, tiers } = settings;
    if *mode == KernelMode::Off {
        return Err(Absence { why: "the kernel half is off".to_owned(), reason: None });
    }
    let names = if interfaces.is_empty() {
        choice::interfaces(listening, &host::interfaces().unwrap_or_default())
    } else {
        interfaces.clone()
    };
    let hook = |tier: &KernelTier| match tier {
        KernelTier::Xdp => Hook::Xdp,
        KernelTier::Tc => Hook::Tc,
    };
    Ok(Interfaces { names, hooks: tiers.iter().map(hook).collect(), generic_xdp: *generic_xdp })
}

fn attach(kernel: &mut Kernel, settings: &KernelSettings, listening: &BTreeSet<IpAddr>) {
    let Ok(interfaces) = wanted(settings, listening) else { return };
    if let Err(error) = kernel.attach(&interfaces) {
        tracing::error!(%error, "the kernel half does not follow the host's interfaces and addresses");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mode: KernelMode, interfaces: &[&str]) -> KernelSettings {
        let interfaces = interfaces.iter().map(|&name| name.to_owned()).collect();
        KernelSettings { mode, interfaces, ..KernelSettings::default() }
    }

    fn start(settings: &KernelSettings) -> Result<KernelHalf> {
        let nowhere = PathBuf::from("/nonexistent");
        let mut config = ir::Gateway::default();
        config.appliance.kernel = settings.clone();
        let options = proxy::Options { workers: Some(1), ..proxy::Options::default() };
        let proxy = proxy::Proxy::start(options)?;
        KernelHalf::start(Some(nowhere.clone()), nowhere, &config, &Registry::new(), false, proxy.teller())
    }

    #[test]
    fn what_is_not_wanted_or_does_not_work_is_said() {
        let off = start(&settings(KernelMode::Off, &["eth0"])).expect("user space suffices");
        assert_eq!(off.line(), "accept: the kernel half is off");
        let mut broken = start(&settings(KernelMode::Auto, &["eth0"])).expect("user space suffices");
        assert!(broken.line().contains("/nonexistent/gateway.bpf.o"), "{}", broken.line());
        assert!(!broken.look_again());
        broken.follow(&settings(KernelMode::Off, &[]));
        assert_eq!(broken.line(), "accept: the kernel half is off");
    }

    #[test]
    fn what_is_required_and_does_not_work_keeps_from_starting() {
        for interfaces in [&["eth0"] as &[&str], &[]] {
            let error = start(&settings(KernelMode::Require, interfaces)).expect_err("it is required");
            assert!(error.to_string().contains("required"), "{error}");
        }
    }
}
