//! Least privilege: what the process may still do once it has started, and what it costs where a right is missing.

use anyhow::{Context, Result};
use ir::KernelMode;
use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
        clear_ambient_capability_set, configure_capability_in_ambient_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

/// What the gateway needs of root: loading, attaching and reading BPF programs, and ports below 1024. As the unit's
/// `CapabilityBoundingSet`.
const NEEDED: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// What no kernel tier works without (capabilities(7), kernel 5.8).
const FOR_THE_KERNEL_HALF: CapabilitySet =
    CapabilitySet::BPF.union(CapabilitySet::NET_ADMIN).union(CapabilitySet::PERFMON);

/// What is left of the capabilities that the process was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Privileges {
    held: CapabilitySet,
    dropped: CapabilitySet,
    /// Cannot be had any more by this process; an executable with file capabilities might, but for no_new_privs.
    still_bounded: CapabilitySet,
}

impl Privileges {
    /// Gives up, for good, whatever the gateway does not need: from the permitted, effective, inheritable, ambient
    /// and, where it may, the bounding set. What it needs and has stays, inheritable and ambient too, for a
    /// successor that it executes. Nothing that it executes gains anything (`no_new_privs`). The user stays.
    ///
    /// For the calling thread and those that it will start: to be called before the first.
    pub(crate) fn shed() -> Result<Self> {
        let before = capabilities(None).context("cannot read the capabilities of this process")?;
        let held = before.permitted & NEEDED;
        let bounding = shrink_bounding_set().context("cannot shrink the bounding set of capabilities")?;
        // More may not be inherited than the bounding set has (`cap_capset` of `security/commoncap.c`).
        let inheritable = held & (bounding | before.inheritable);
        let sets = CapabilitySets { effective: held, permitted: held, inheritable };
        clear_ambient()
            // A system-call filter may forbid the call where nothing is left to give up.
            .and_then(|()| if sets == before { Ok(()) } else { set_capabilities(None, sets) })
            .context(
                "cannot give up capabilities that the gateway does not need; does a filter forbid capset?",
            )?;
        for capability in inheritable.iter() {
            // Forbidden by a securebit: a successor then has what root or its file gives it.
            let _ = configure_capability_in_ambient_set(capability, true);
        }
        set_no_new_privs(true).context("cannot set no_new_privs")?;
        Ok(Self { held, dropped: before.permitted & !NEEDED, still_bounded: bounding & !NEEDED })
    }

    /// One line of what it has and has dropped, and one of what is missing, as far as the mode asks for it.
    pub(crate) fn say(&self, mode: KernelMode) {
        let Self { held, dropped, still_bounded } = *self;
        if still_bounded.is_empty() {
            tracing::info!(has = names(held), dropped = names(dropped), "privileges");
        } else {
            // Without CAP_SETPCAP, which an ordinary user lacks. They cannot be had: no_new_privs.
            tracing::info!(has = names(held), dropped = names(dropped), "privileges; the bounding set stays");
        }
        for (missing, cost) in self.costs(mode) {
            tracing::warn!(missing = names(missing), "{cost}");
        }
    }

    /// What is missing, and what does not work without.
    fn costs(&self, mode: KernelMode) -> Vec<(CapabilitySet, &'static str)> {
        let missing = NEEDED & !self.held;
        let mut costs = Vec::new();
        let kernel = missing & FOR_THE_KERNEL_HALF;
        if !kernel.is_empty() && mode != KernelMode::Off {
            costs.push((kernel, "no XDP and no TC tier: limits are enforced at accept only"));
        }
        if missing.contains(CapabilitySet::NET_BIND_SERVICE) {
            costs.push((
                CapabilitySet::NET_BIND_SERVICE,
                "ports below 1024 cannot be listened on, unless net.ipv4.ip_unprivileged_port_start allows it",
            ));
        }
        costs
    }
}

/// Removes all that is not needed; what is left. Without CAP_SETPCAP everything stays.
fn shrink_bounding_set() -> Result<CapabilitySet, Errno> {
    let mut left = CapabilitySet::empty();
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => {}
            Ok(false) => continue,
            // Above the last that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
        if !NEEDED.contains(capability) {
            match remove_capability_from_bounding_set(capability) {
                Ok(()) => continue,
                Err(Errno::PERM) => {}
                Err(error) => return Err(error),
            }
        }
        left |= capability;
    }
    Ok(left)
}

fn clear_ambient() -> Result<(), Errno> {
    match clear_ambient_capability_set() {
        // Kernels that are built without.
        Err(Errno::INVAL) => Ok(()),
        other => other,
    }
}

/// `CAP_BPF CAP_NET_ADMIN`; `nothing` for none.
fn names(set: CapabilitySet) -> String {
    let mut known = set.iter_names();
    let mut names: Vec<String> = known.by_ref().map(|(name, _)| format!("CAP_{name}")).collect();
    // Newer than the library.
    names.extend(known.remaining().iter().map(|set| format!("capability {}", set.bits().trailing_zeros())));
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::thread::{capability_is_in_ambient_set, no_new_privs};

    use super::*;

    /// Capabilities are a thread's own, so that this one may give them up.
    fn on_a_thread_of_its_own<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
    }

    #[test]
    fn nothing_is_left_but_what_is_needed() {
        let (privileges, sets, ambient, bounding) = on_a_thread_of_its_own(|| {
            let privileges = Privileges::shed().expect("anybody may give up");
            assert!(no_new_privs().expect("readable"));
            let is = |ask: fn(CapabilitySet) -> Result<bool, Errno>| {
                let known = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
                known.filter(|one| ask(*one) == Ok(true)).collect::<CapabilitySet>()
            };
            let (ambient, bounding) = (is(capability_is_in_ambient_set), is(capability_is_in_bounding_set));
            (privileges, capabilities(None).expect("readable"), ambient, bounding)
        });
        let Privileges { held, still_bounded, .. } = privileges;
        assert!(NEEDED.contains(held));
        assert_eq!((sets.permitted, sets.effective), (held, held));
        assert!(NEEDED.contains(sets.inheritable));
        assert_eq!(ambient, sets.inheritable, "a successor has as much");
        assert_eq!(bounding & !NEEDED, still_bounded);
        let before = capabilities(None).expect("readable").permitted;
        assert_eq!(held, before & NEEDED);
        if before.contains(CapabilitySet::SETPCAP) {
            assert_eq!((ambient, still_bounded), (held, CapabilitySet::empty()), "root gives up the rest");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_what_it_costs() {
        let with = |held: CapabilitySet| Privileges {
            held,
            dropped: CapabilitySet::empty(),
            still_bounded: CapabilitySet::empty(),
        };
        assert_eq!(with(NEEDED).costs(KernelMode::Auto), []);
        let told = |held: CapabilitySet, mode: KernelMode| {
            let line = |(missing, cost): (CapabilitySet, &str)| format!("{}: {cost}", names(missing));
            with(held).costs(mode).into_iter().map(line).collect::<Vec<_>>()
        };
        let [kernel, ports] = &*told(CapabilitySet::NET_ADMIN, KernelMode::Auto) else { panic!("two lines") };
        assert!(kernel.starts_with("CAP_PERFMON CAP_BPF: no XDP and no TC tier"), "{kernel}");
        assert!(ports.starts_with("CAP_NET_BIND_SERVICE: ports below 1024"), "{ports}");
        assert_eq!(told(CapabilitySet::NET_BIND_SERVICE, KernelMode::Off), [] as [String; 0]);
    }

    #[test]
    fn capabilities_are_called_by_their_names() {
        assert_eq!(names(CapabilitySet::empty()), "nothing");
        let newer = CapabilitySet::BPF | CapabilitySet::from_bits_retain(1 << 60);
        assert_eq!(names(newer), "CAP_BPF capability 60");
    }
}
