use std::{cell::RefCell, collections::HashMap, io, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    net::lookup_host,
    time::{Instant, timeout},
};

/// How old an answer may be before the name is asked for again, in the background. Envoy's default is the same.
const FRESH: Duration = Duration::from_secs(5);

/// How long a first answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The names that one worker has resolved. What was found once stays in use, however old, until something else is
/// found: a resolver that fails must not take a backend away that answers.
#[derive(Default)]
pub(super) struct Resolver(Rc<RefCell<HashMap<Arc<str>, Entry>>>);

struct Entry {
    addresses: Rc<[IpAddr]>,
    asked: Instant,
}

impl Resolver {
    /// The addresses of a name, as the host's resolver orders them; at least one.
    pub(super) async fn resolve(&self, host: &Arc<str>) -> io::Result<Rc<[IpAddr]>> {
        let now = Instant::now();
        let known = match self.0.borrow_mut().get_mut(host) {
            Some(entry) => {
                let stale = now.duration_since(entry.asked) > FRESH;
                if stale {
                    entry.asked = now;
                }
                Some((Rc::clone(&entry.addresses), stale))
            }
            None => None,
        };
        match known {
            Some((addresses, stale)) => {
                if stale {
                    let (names, host) = (Rc::clone(&self.0), Arc::clone(host));
                    tokio::task::spawn_local(async move {
                        if let Err(error) = ask(&names, &host).await {
                            tracing::warn!(%host, %error, "cannot resolve a backend's name again; its last addresses stay in use");
                        }
                    });
                }
                Ok(addresses)
            }
            None => ask(&self.0, host).await,
        }
    }
}

async fn ask(names: &RefCell<HashMap<Arc<str>, Entry>>, host: &Arc<str>) -> io::Result<Rc<[IpAddr]>> {
    let found = timeout(PATIENCE, lookup_host((&**host, 0))).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let addresses: Rc<[IpAddr]> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let entry = Entry { addresses: Rc::clone(&addresses), asked: Instant::now() };
    names.borrow_mut().insert(Arc::clone(host), entry);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_the_hosts_file_is_resolved_once() {
        let resolver = Resolver::default();
        let host: Arc<str> = "localhost".into();
        let first = resolver.resolve(&host).await.unwrap();
        assert!(first.iter().all(IpAddr::is_loopback), "{first:?}");
        assert!(Rc::ptr_eq(&first, &resolver.resolve(&host).await.unwrap()));
        assert!(resolver.resolve(&"no-such-name.invalid".into()).await.is_err());
    }
}
