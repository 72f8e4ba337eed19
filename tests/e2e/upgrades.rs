//! A probe connects all along while processes take each other's place or are killed: an upgrade refuses, resets and
//! cuts nobody; of a kill those who connect meanwhile notice nothing; and limits hold at every instant.

mod probe;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use e2e::{
    echo,
    gateway::{Gateway, Place},
    http::Connection,
    namespaces,
    netns::{GATEWAY, GATEWAY6, Wire},
    supervisor::Supervisor,
    wait,
};
use nix::sys::signal::Signal;

use crate::cafe::{ECHO, PORT, appliance, connection_policy, limited, manifests, policy};
use probe::{Address, Crowd, Probe};

/// The listener that everybody may use.
const OPEN: u16 = PORT;
/// The one with a limit.
const LIMITED: u16 = 8081;
/// The one with a limit for each source in PROXY headers.
const PROXIED: u16 = 8082;
/// The one that ends TLS.
const TLS: u16 = 8443;

/// Connections that the limited listener may have, and those of a source behind PROXY headers.
const LIMIT: usize = 6;

/// The watchdog's period, in microseconds.
const WATCHDOG: u64 = 2_000_000;

/// Long enough for what has begun; a test holds connections for longer on purpose.
const FLAGS: [&str; 2] = ["--drain-timeout", "20s"];

struct Service {
    gateway: Gateway,
    supervisor: Supervisor,
    place: Place,
    wire: Wire,
}

/// The usual example with more listeners: one by one they are for everybody, limited, limited by the source in PROXY
/// headers, and with TLS.
fn listeners() -> String {
    let one = format!("  - {{name: http, port: {OPEN}, protocol: HTTP}}\n");
    let more = format!(
        "  - {{name: limited, port: {LIMITED}, protocol: HTTP}}
  - {{name: proxied, port: {PROXIED}, protocol: HTTP}}
  - {{name: https, port: {TLS}, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}
"
    );
    manifests().replace(&one, &(one.clone() + &more))
}

/// A limit for all connections of one listener, and one by source for another.
fn limits() -> String {
    let of = |policy: String, section: &str| {
        let policy = policy.replace(", name: eg}", &format!(", name: eg, sectionName: {section}}}"));
        policy.replace("{name: client,", &format!("{{name: {section},"))
    };
    let per_source =
        format!("  key: ProxySource\n  concurrentConnections: {{perSource: {{limit: {LIMIT}}}}}\n");
    let all = [
        of(limited(LIMIT), "limited"),
        of(policy("  proxyProtocol: {optional: false}\n"), "proxied"),
        of(connection_policy(&per_source), "proxied"),
    ];
    all.join("---\n")
}

impl Service {
    /// `None` where namespaces cannot be made.
    fn open(kernel: &str) -> Option<Self> {
        if !namespaces() {
            return None;
        }
        let (wire, place) = (Wire::new(), Place::new());
        wire.gateway.run(|| {
            let listener = std::net::TcpListener::bind(("127.0.0.1", ECHO));
            echo::serve(listener.expect("a namespace of our own"), "echo")
        });
        let certified = rcgen::generate_simple_self_signed(["a.test".to_owned()]).expect("a certificate");
        place.write("secrets/default/cert/tls.crt", &certified.cert.pem());
        place.write("secrets/default/cert/tls.key", &certified.signing_key.serialize_pem());
        place.write("cafe.yaml", &listeners());
        place.write("limits.yaml", &limits());
        place.write("appliance.yaml", &appliance(kernel));
        let supervisor = Supervisor::new(&place.beside(""));
        let gateway = Gateway::start_under(&supervisor, &wire.gateway, &place, &FLAGS, WATCHDOG);
        Some(Self { gateway, supervisor, place, wire })
    }

    /// As the service manager does when the main process has ended: what is left is killed, and it starts again.
    fn start_again(&mut self) {
        self.gateway.kill();
        self.gateway =
            Gateway::start_under(&self.supervisor, &self.wire.gateway, &self.place, &FLAGS, WATCHDOG);
    }

    fn hold(&self) -> std::io::Result<Connection> {
        self.hold_at((GATEWAY, LIMITED))
    }

    fn hold_at(&self, address: Address) -> std::io::Result<Connection> {
        self.wire.client.run(|| {
            let mut connection = Connection::open(address)?;
            probe::introduce(&mut connection, address)?;
            connection.get("a.test", "/").map(|_| connection)
        })
    }

    /// Drift is a slot too many or too few at the end.
    fn every_slot_is_free(&self) {
        for port in [LIMITED, PROXIED] {
            let held = wait::until("every slot is free", || {
                let held: Vec<Connection> =
                    (0..LIMIT).map_while(|n| self.hold_at((FAMILIES[n % 2], port)).ok()).collect();
                (held.len() == LIMIT).then_some(held)
            });
            assert!(
                FAMILIES.iter().all(|address| self.hold_at((address, port)).is_err()),
                "one more than the limit"
            );
            drop(held);
        }
    }
}

const FAMILIES: [&str; 2] = [GATEWAY, GATEWAY6];

/// Where a probe goes, in turn.
fn addresses() -> [(&'static str, u16); 4] {
    [(GATEWAY, OPEN), (GATEWAY6, OPEN), (GATEWAY, TLS), (GATEWAY6, TLS)]
}

/// Twenty upgrades under load: each process serves for a moment.
fn upgrades(kernel: &str) {
    let Some(mut service) = Service::open(kernel) else { return };
    let (stop, client) = (AtomicBool::new(false), service.wire.client.name().to_owned());
    let probe = &Probe::new(&client, &stop);
    let crowds @ [crowd, behind] = &[Crowd::new(&client, &stop), Crowd::new(&client, &stop)];
    let upgrades = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for address in addresses() {
            scope.spawn(move || probe.once_each(address));
            scope.spawn(move || probe.kept_alive(address));
        }
        scope.spawn(move || probe.multiplexed((GATEWAY, OPEN)));
        for number in 0..LIMIT + 6 {
            let stays = number < LIMIT / 2;
            for (crowd, port) in [(crowd, LIMITED), (behind, PROXIED)] {
                scope.spawn(move || match stays {
                    true => crowd.stay((GATEWAY, port), upgrades),
                    false => crowd.come_and_go((GATEWAY6, port)),
                });
            }
        }
        for round in 0..20 {
            let (probed, fed) = (probe.answered(), service.supervisor.fed());
            service.gateway.upgrade(&service.place);
            assert_eq!(
                service.supervisor.main(),
                service.gateway.pid().as_raw(),
                "the main process is known"
            );
            wait::until("the probe goes on", || (probe.answered() > probed + 20).then_some(()));
            upgrades.fetch_add(1, Ordering::SeqCst);
            if round == 10 {
                wait::until("the watchdog is fed", || (service.supervisor.fed() > fed).then_some(()));
            }
        }
        // Otherwise it would be no test of the limit.
        wait::until("the limits are reached", || {
            crowds.iter().all(|crowd| crowd.most() >= LIMIT).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(probe.failures(), Vec::<String>::new());
    assert!(probe.answered() > 400, "{}", probe.answered());
    assert_eq!(crowds.each_ref().map(Crowd::most), [LIMIT; 2], "so many were served at once");
    assert_eq!(
        service.supervisor.unheard(),
        Vec::<String>::new(),
        "who is not the main process says nothing"
    );
    assert!(service.gateway.wait_for_predecessors(), "each has ended in order");
    service.every_slot_is_free();
    service.gateway.signal(Signal::SIGTERM);
    assert!(service.gateway.wait(), "an orderly end");
}

#[test]
fn twenty_upgrades_refuse_nobody_and_keep_the_limit_with_accept() {
    upgrades("{mode: Off}");
}

#[test]
fn twenty_upgrades_refuse_nobody_and_keep_the_limit_with_xdp() {
    upgrades("{mode: Require, interfaces: [gw0]}");
}

/// The service manager keeps the listening sockets, so that who connects while there is no process waits for the next.
fn kills(kernel: &str) {
    let Some(mut service) = Service::open(kernel) else { return };
    let (stop, client) = (AtomicBool::new(false), service.wire.client.name().to_owned());
    let probe = &Probe::new(&client, &stop).forgiving();
    let crowds @ [crowd, behind] = &[Crowd::new(&client, &stop), Crowd::new(&client, &stop)];
    thread::scope(|scope| {
        for address in addresses() {
            scope.spawn(move || probe.once_each(address));
        }
        for number in 0..LIMIT + 4 {
            for (crowd, port) in [(crowd, LIMITED), (behind, PROXIED)] {
                scope.spawn(move || crowd.come_and_go((FAMILIES[number % 2], port)));
            }
        }
        for round in 0..20 {
            let (probed, crowded) = (probe.answered(), crowds.each_ref().map(Crowd::served));
            // Now and then there are two processes to kill.
            if round % 5 == 4 {
                service.gateway.upgrade(&service.place);
            }
            service.start_again();
            wait::until("the probe goes on", || (probe.answered() > probed + 20).then_some(()));
            wait::until("the crowds go on", || {
                crowds.iter().zip(crowded).all(|(crowd, before)| crowd.served() > before).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(probe.failures(), Vec::<String>::new());
    let most = crowds.each_ref().map(Crowd::most);
    assert!(most.iter().all(|most| *most <= LIMIT), "{most:?} were served at once");
    service.every_slot_is_free();
}

#[test]
fn twenty_kills_refuse_nobody_and_keep_the_limit_with_accept() {
    kills("{mode: Off}");
}

#[test]
fn twenty_kills_refuse_nobody_and_keep_the_limit_with_xdp() {
    kills("{mode: Require, interfaces: [gw0]}");
}

/// A successor that has taken the pins over and then cannot serve: they go on to be at work.
#[test]
fn a_successor_that_fails_leaves_the_kernel_half_at_work() {
    let Some(service) = Service::open("{interfaces: [gw0]}") else { return };
    let held: Vec<Connection> = (0..LIMIT).map(|_| service.hold().expect("below the limit")).collect();
    let refused = || {
        let error = service.hold().expect_err("one more than the limit");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "by the kernel: {error}");
    };
    refused();
    service.place.write("appliance.yaml", &appliance("{mode: Require, interfaces: [gw0, none0]}"));
    let why = service.gateway.fail_to_upgrade(&service.place);
    assert!(why.contains("there is no interface none0"), "{why}");
    refused();
    drop(held);
    service.every_slot_is_free();
}
