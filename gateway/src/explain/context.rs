use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
};

use ir::{Bind, BindId, Listener, ListenerId, SocketKey};
use proxy::explain::{Explanation, Moment, Nearest, Path};
use translate::{EffectiveLimit, Origins, Setting};

use super::{
    Answer, Asked, Behind, Line, Verdict, Way, row,
    sight::{self, Refused},
};
use crate::{host, host::HostAddress, kernel, published::ListenerLine};

/// What an explanation is about.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// What is, or would be, served.
    pub(crate) config: &'a ir::Gateway,
    /// Who has set which limit.
    pub(crate) limits: &'a [EffectiveLimit],
    /// And the rest.
    pub(crate) origins: &'a Origins,
    /// Who serves it; `None`: nobody.
    pub(crate) running: Option<Running<'a>>,
}

/// A gateway that serves.
#[derive(Clone, Copy)]
pub(crate) struct Running<'a> {
    /// The configuration in force.
    pub(crate) generation: u64,
    /// What is bound, and what is not.
    pub(crate) listeners: &'a [ListenerLine],
    /// What the kernel half does.
    pub(crate) kernel: &'a kernel::View,
}

/// Where in the kernel a connection comes by.
struct Entrance {
    interface: String,
    tier: &'static str,
}

impl Context<'_> {
    /// The proxy's explanation with everybody named.
    pub(crate) fn answer(&self, asked: &Asked, explanation: &Explanation) -> Answer {
        let question = &asked.0;
        let mut answer = Answer {
            from: question.peer.ip().to_string(),
            to: question.local.to_string(),
            proxy_source: question.proxied.map(|source| source.ip().to_string()),
            generation: self.running.map(|running| running.generation),
            listening: None,
            interface: None,
            tier: None,
            ways: Vec::new(),
            served: false,
            notes: Vec::new(),
        };
        match explanation {
            Explanation::NoListener { nearest } => answer.notes = nobody(question.local, nearest.as_ref()),
            Explanation::Listener { socket, bind, paths } => {
                if let Some(why) = self.unreachable(question.local, socket, bind) {
                    answer.notes = vec![why, sight::NOBODY.to_owned()];
                    return answer;
                }
                let Some(bind) = self.config.binds.iter().find(|known| known.id == *bind) else {
                    return answer;
                };
                let entrance = self.entrance(question.peer.ip(), question.local.ip());
                answer.listening = Some(socket.to_string());
                answer.interface = entrance.as_ref().map(|entrance| entrance.interface.clone());
                answer.tier = entrance.as_ref().map(|entrance| entrance.tier.to_owned());
                answer.ways = paths.iter().map(|path| self.way(bind, path, entrance.as_ref())).collect();
                answer.served = answer.ways.iter().all(|way| way.verdict.served);
            }
        }
        answer
    }

    fn way(&self, bind: &Bind, path: &Path, entrance: Option<&Entrance>) -> Way {
        let Path { listener: id, hostname, steps, is_broken } = path;
        let listener = id.as_ref().and_then(|id| bind.listeners.iter().find(|known| known.id == *id));
        let mut checks: Vec<Line> = steps.iter().map(|step| row::line(self, bind, path, step)).collect();
        let mut refusal = path.refusal().map(|(reason, step)| (reason, step.moment));
        if let Some((line, full)) = self.kernel_count(bind, entrance) {
            let is_sooner = |(reason, moment)| moment == Moment::Accept && kernel::refuses(bind, reason);
            if full && !refusal.is_some_and(is_sooner) {
                refusal = Some((OVER_CONNECTION_LIMIT, Moment::Accept));
                checks.clear();
            }
            checks.insert(0, line);
        }
        let tiers: Vec<&str> = match entrance {
            Some(entrance) => vec![entrance.tier],
            None => self.tiers(),
        };
        let sees = match refusal {
            None => vec![sight::served(*is_broken)],
            Some((reason, moment)) => {
                let (config, listener) = (self.config, listener.map(|listener| &**listener));
                Refused { config, bind, listener, reason, moment }.sights(&tiers)
            }
        };
        let reason = refusal.map(|(reason, _)| reason);
        Way {
            listener: id.as_ref().map(ToString::to_string),
            behind: id.as_ref().and_then(|id| self.origins.listeners.get(id)).map(Behind::from),
            hostname: hostname.clone(),
            checks,
            verdict: Verdict { served: reason.is_none(), reason: reason.map(str::to_owned), sees },
        }
    }

    /// Who has set a limit of a listener's.
    pub(super) fn limit(&self, listener: &ListenerId, field: &str) -> Option<Behind> {
        let limit = self.limits.iter().find(|limit| limit.listener == *listener && limit.field == field)?;
        let EffectiveLimit { listener: _, field, value: _, policy, origin } = limit;
        Some(Behind { object: policy.to_string(), field: (*field).to_owned(), origin: origin.to_string() })
    }

    /// The kernel's own count of a port, where it refuses by it. True: it is full.
    fn kernel_count(&self, bind: &Bind, entrance: Option<&Entrance>) -> Option<(Line, bool)> {
        let tier = entrance.map(|entrance| entrance.tier).filter(|tier| *tier != sight::ACCEPT)?;
        let (open, most) = (self.running?.kernel.open(bind)?, kernel::most(bind)?);
        let full = open >= most;
        let first = bind.listeners.first();
        let line = Line {
            moment: "kernel".to_owned(),
            check: "connectionLimit".to_owned(),
            outcome: if full { "refused" } else { "passes" }.to_owned(),
            reason: full.then(|| OVER_CONNECTION_LIMIT.to_owned()),
            found: format!("{tier} counts {open} of {most} connections, handshakes that have begun apart"),
            behind: first.and_then(|listener| self.limit(&listener.id, row::CONNECTION_LIMIT)),
        };
        Some((line, full))
    }

    /// Why nobody listens on a socket that is configured.
    fn unreachable(&self, local: SocketAddr, socket: &SocketKey, bind: &BindId) -> Option<String> {
        let running = self.running?;
        let is_it =
            |line: &&ListenerLine| line.address == socket.to_string() && line.bind == bind.to_string();
        let error = running.listeners.iter().find(is_it).and_then(|line| line.error.as_ref());
        if let Some(error) = error {
            return Some(format!("{socket} of {bind} is not bound: {error}"));
        }
        let elsewhere = socket.address.is_unspecified()
            && !local.ip().is_loopback()
            && host::addresses().is_some_and(|addresses| !addresses.contains(&local.ip()));
        elsewhere
            .then(|| format!("no interface of this host carries {}, so {socket} is not meant", local.ip()))
    }

    /// Clients of this very host come in by the loopback, others by the interface that carries the address.
    fn entrance(&self, peer: IpAddr, local: IpAddr) -> Option<Entrance> {
        let running = self.running?;
        let carried = host::interfaces()?;
        let of = |address: IpAddr| carried.iter().find(|carried| carried.address == address);
        let is_loopback = |carried: &&HostAddress| carried.is_loopback;
        let here = if peer.is_loopback() || local.is_loopback() || of(peer).is_some() {
            carried.iter().find(is_loopback)
        } else {
            of(local)
        }?;
        let tiers = running.kernel.tiers();
        let tier = tiers.iter().find(|(name, _)| *name == here.interface);
        let tier = tier.map_or(sight::ACCEPT, |(_, tier)| tier);
        let what = if tier == sight::ACCEPT {
            ", where user space enforces"
        } else {
            ", where the kernel refuses early"
        };
        Some(Entrance { interface: format!("{} ({tier}){what}", here.interface), tier })
    }

    /// Tiers that there may be where nobody serves yet.
    fn tiers(&self) -> Vec<&'static str> {
        match self.config.appliance.kernel.mode {
            ir::KernelMode::Off => vec![sight::ACCEPT],
            ir::KernelMode::Auto | ir::KernelMode::Require => vec!["xdp", "tc", sight::ACCEPT],
        }
    }
}

const OVER_CONNECTION_LIMIT: &str = "over_connection_limit";

/// What there is to say where nobody listens.
pub(super) fn nobody(local: impl Display, nearest: Option<&Nearest>) -> Vec<String> {
    let near = match nearest {
        Some(Nearest { socket, bind }) => format!("the nearest is {socket} of {bind}"),
        None => "there is none at all".to_owned(),
    };
    vec![format!("no listener is at {local}; {near}"), sight::NOBODY.to_owned()]
}

impl From<&Setting> for Behind {
    fn from(setting: &Setting) -> Self {
        let Setting { object, field, origin } = setting;
        Self { object: object.to_string(), field: field.clone(), origin: origin.to_string() }
    }
}

/// The listener whose settings hold for the socket of a port.
pub(super) fn first(bind: &Bind) -> Option<&Listener> {
    bind.listeners.first().map(|listener| &**listener)
}
