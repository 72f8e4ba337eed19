//! The programs and the functions that they wrap, on the same arbitrary frames: the compiler for BPF, the verifier
//! and the way that bytes are read there must not change what is decided or answered.

use std::collections::{BTreeMap, BTreeSet};

use e2e::frame::{ACK, Addresses, CLIENT, CLIENT6, Frame, PORT, SERVER, SERVER6, SYN};
use ebpf_common::{
    Handshakes, Limit, ListenerKey, Listeners, NetworkKey, Networks, Opening, Policy, Rate, Reset, SourceKey,
    Sources, Verdict, judge,
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::programs::{HOOKS, Hook, NETNS, Programs};

/// What the programs find in maps.
#[derive(Default)]
struct Known {
    limits: BTreeMap<ListenerKey, Limit>,
    open: BTreeMap<u64, i64>,
    /// Address, number of bits and what the network says, by set.
    networks: Vec<(u64, [u8; 16], u8, u32)>,
    sources: BTreeMap<SourceKey, i64>,
    spent: BTreeSet<SourceKey>,
}

impl Listeners for Known {
    fn limit(&self, listener: &ListenerKey) -> Option<&Limit> {
        self.limits.get(listener)
    }

    fn open(&self, limit: &Limit) -> i64 {
        self.open.get(&limit.quota()).copied().unwrap_or(0)
    }

    fn sources(&self, _: &Limit) -> impl Sources {
        Seen(self)
    }
}

struct Seen<'a>(&'a Known);

impl Sources for Seen<'_> {
    fn networks(&self, key: &NetworkKey) -> Networks {
        let holds = |(set, network, bits, _): &&(u64, [u8; 16], u8, u32)| {
            let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
            *set == key.set()
                && u128::from_be_bytes(key.address()) & mask == u128::from_be_bytes(*network) & mask
        };
        let smallest = self.0.networks.iter().filter(holds).max_by_key(|(_, _, bits, _)| *bits);
        Networks(smallest.map_or(0, |(.., says)| *says))
    }

    fn open(&self, place: &SourceKey) -> i64 {
        self.0.sources.get(place).copied().unwrap_or(0)
    }

    fn open_of_network(&self, network: &SourceKey) -> i64 {
        self.open(network)
    }

    fn spend(&self, source: &SourceKey, _: &Rate) -> bool {
        !self.0.spent.contains(source)
    }

    fn spend_of_listener(&self, _: &Rate) -> bool {
        false
    }
}

/// A quota has become full lately, and the namespace that the programs run in has no socket.
struct NoSocket;

impl Handshakes for NoSocket {
    fn filled_lately(&self) -> bool {
        true
    }

    fn is_open(&self, _: &Opening) -> bool {
        false
    }
}

impl Known {
    fn listen(&mut self, programs: &mut Programs, key: ListenerKey, limit: Limit, open: i64) {
        programs.listen_with(key, limit, open);
        self.limits.insert(key, limit);
        self.open.insert(limit.quota(), open);
    }
}

/// Sockets of both families: full and not, under every kind of policy.
fn listening(programs: &mut Programs) -> Known {
    let mut known = Known::default();
    let v4 = |port| ListenerKey::new(NETNS, std::net::Ipv4Addr::from(SERVER).to_ipv6_mapped().octets(), port);
    let v6 = |port| ListenerKey::new(NETNS, SERVER6, port);
    // So many tokens that no run takes the last one.
    let endless = Rate::new(1, u32::MAX);
    let lists = Policy::of(1).with_networks(3, true);
    let limits = Policy::of(2).with_source_limit(2).with_prefix_limit(3, 24, 64).with_networks(4, false);
    let both = Policy::of(4).with_source_limit(2).with_rates(endless, Rate::NONE);
    let rows = [
        (v4(PORT), Limit::new(0, Some(10)), 10),
        (v6(PORT), Limit::new(1, Some(10)), 11),
        (v4(PORT + 1), Limit::new(2, Some(0)).with_policy(lists), 0),
        (v6(PORT + 1), Limit::new(3, None).with_policy(lists), 1_000),
        (v4(PORT + 2), Limit::new(4, Some(10)).with_policy(limits), 9),
        (v6(PORT + 2), Limit::new(5, Some(1)).with_policy(limits), -1),
        (v4(PORT + 3), Limit::new(6, None).with_policy(Policy::of(3).with_rates(endless, Rate::NONE)), 0),
        (v6(PORT + 3), Limit::new(7, None).with_policy(Policy::of(3).with_rates(Rate::NONE, endless)), 0),
        (v4(PORT + 4), Limit::new(8, None).with_policy(both), 0),
        (v6(PORT + 4), Limit::new(9, None).with_policy(both), 0),
    ];
    for (key, limit, open) in rows {
        known.listen(programs, key, limit, open);
    }
    let [client, client6] = [std::net::Ipv4Addr::from(CLIENT).to_ipv6_mapped().octets(), CLIENT6];
    known.networks = vec![
        (3, client, 96, Networks::ALLOW),
        (3, client, 126, Networks::ALLOW | Networks::DENY),
        (3, client, 127, Networks::ALLOW),
        (3, client6, 121, Networks::ALLOW),
        (3, client6, 126, Networks::DENY),
        (4, client, 127, Networks::EXEMPT),
        (4, client6, 125, Networks::EXEMPT),
    ];
    for (set, address, bits, says) in &known.networks {
        programs.network(NetworkKey::of_network(*set, *address), u32::from(*bits), *says);
    }
    for last in 0..8u8 {
        for (client, prefix) in [(client, 96 + 24), (client6, 64)] {
            let mut address = client;
            address[15] = last;
            let source = SourceKey::new(2, address, 128);
            known.sources.insert(source, i64::from(last / 2));
            // Their networks have as many as they may have.
            known.sources.insert(SourceKey::new(2, address, prefix), 3);
            if last % 2 == 0 {
                known.spent.insert(SourceKey::new(3, client, 128));
            }
        }
    }
    known.sources.iter().for_each(|(key, open)| programs.source(*key, *open));
    // Sources whose row has their bucket, and others that have no row and a bucket elsewhere.
    for last in 0..8u8 {
        for mut address in [client, client6] {
            address[15] = last;
            let (source, spent) = (SourceKey::new(4, address, 128), last % 2 == 0);
            if spent {
                known.spent.insert(source);
            }
            if last < 6 {
                programs.source_with(source, i64::from(last / 2), spent);
                known.sources.insert(source, i64::from(last / 2));
            }
        }
    }
    known.spent.iter().for_each(|key| programs.spent(*key));
    known
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![Just([0x81, 0x00]), Just([0x88, 0xa8])];
    let kind = prop_oneof![4 => Just(60), 2 => Just(0), 1 => Just(43), 1 => Just(51), 1 => Just(44), 1 => any::<u8>()];
    let extension = (kind, 0..6usize).prop_map(|(kind, units)| (kind, vec![0; units * 8 + 6]));
    let flags = prop_oneof![6 => Just(SYN), 2 => Just(ACK), 1 => any::<u8>()];
    let fragment = prop_oneof![6 => Just(0x4000), 1 => any::<u16>()];
    let shape = (any::<bool>(), vec(tag, 0..4), vec(extension, 0..8), 0..11usize, 0..11usize);
    let fields = (fragment, (PORT - 1..PORT + 5, 0..8u8), any::<u16>(), any::<u32>(), flags, 0..64usize);
    let frame = (shape, fields).prop_map(|((v6, tags, extensions, options, tcp_options), fields)| {
        let (fragment, (port, client), source, sequence, flags, payload) = fields;
        let mut frame = if v6 { Frame::v6() } else { Frame::v4() };
        match &mut frame.addresses {
            Addresses::V4(sender, _) => sender[3] = client,
            Addresses::V6(sender, _) => sender[15] = client,
        }
        Frame {
            tags,
            extensions,
            options: vec![1; options * 4],
            tcp_options: vec![1; tcp_options * 4],
            fragment,
            ports: (source, port),
            sequence,
            flags,
            payload: vec![7; payload],
            ..frame
        }
    });
    let bent = vec((any::<prop::Index>(), any::<u8>()), 0..3);
    (frame, bent, prop_oneof![4 => Just(None), 1 => any::<prop::Index>().prop_map(Some)]).prop_map(
        |(frame, bent, cut)| {
            let mut bytes = frame.bytes();
            for (place, byte) in bent {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(14 + cut.index(bytes.len() - 14));
            }
            bytes
        },
    )
}

mod prop {
    pub use proptest::sample::Index;
}

/// The frame that the host says is sent back.
fn answered(frame: &[u8], network: usize, reset: Reset) -> Vec<u8> {
    let packet: Vec<u8> = match reset {
        Reset::V4(words) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        Reset::V6(words) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
    };
    [&frame[6..12], &frame[..6], &frame[12..network], &packet].concat()
}

#[test]
fn programs_do_what_the_functions_say() {
    let Some(mut programs) = Programs::load() else { return };
    let known = listening(&mut programs);
    programs.fill();
    let mut seen = BTreeMap::new();
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&frames(), |frame| {
        let verdict = judge(&frame.as_slice(), NETNS, &known, &NoSocket, &());
        for hook in HOOKS {
            // The kernel itself takes no skb for a test run whose IP header is not whole.
            if hook == Hook::Tc && frame.len() < 14 + 40 {
                continue;
            }
            let run = programs.run(hook, &frame);
            let (action, sent) = match verdict {
                Verdict::Pass | Verdict::PassUnread(_) | Verdict::ReadHeader => (hook.pass(), frame.clone()),
                // Another station's, which a bridge may pass on: no business of a classifier's.
                Verdict::Refuse(_) if hook == Hook::Tc && frame[..6] != [0; 6] => {
                    (hook.pass(), frame.clone())
                }
                Verdict::Refuse(refusal) => {
                    let network = refusal.opening.network_offset();
                    (hook.refuse(), answered(&frame, network, Reset::answering(&refusal.opening)))
                }
            };
            if (run.action, &run.frame) != (action, &sent) {
                return Err(TestCaseError::fail(format!(
                    "{hook:?} {verdict:?}: {run:?}, not {action} {sent:?}"
                )));
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    // The same counters in the same order of magnitude would hide a strategy that makes only one kind of frame.
    let mut runner = TestRunner::deterministic();
    for _ in 0..2_000 {
        let frame = frames().new_tree(&mut runner).expect("a frame");
        let frame = proptest::strategy::ValueTree::current(&frame);
        let kind = match judge(&frame.as_slice(), NETNS, &known, &NoSocket, &()) {
            Verdict::Pass | Verdict::ReadHeader => "passed".to_owned(),
            Verdict::PassUnread(unread) => unread.name().to_owned(),
            Verdict::Refuse(refusal) => refusal.reason.name().to_owned(),
        };
        *seen.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 11, "every verdict is among the frames: {seen:?}");
    assert!(matches!(Frame::v4().addresses, Addresses::V4(_, SERVER)));
}
