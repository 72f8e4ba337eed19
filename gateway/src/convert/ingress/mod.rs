//! Ingress of networking.k8s.io, with the annotations of ingress-nginx (`nginx.ingress.kubernetes.io/`) and of NGINX's own
//! controller (`nginx.org/`).

pub(super) mod annotation;
mod backend;
mod canary;
mod cors;
mod location;
mod redirects;
mod rewrite;
mod routes;
mod settings;

pub(super) use rewrite::{Rewrite, rewrite};
pub(super) use routes::{is_one, routes};
