//! How long a change takes from the file to the IR: `cargo bench -p translate --bench reload [-- ROUTES FILES]`.
//! Prints figures and judges none; the budget, from the change to service, is 50 ms at 1,000 routes.

use std::{fmt::Write, fs, path::Path, time::Instant};

use manifest::Loader;
use translate::{HostFacts, translate};

const ROUNDS: usize = 9;

fn main() {
    let given: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    match given.as_slice() {
        [routes, files] => measure(*routes, *files),
        _ => [(1_000, 1), (1_000, 1_000), (10_000, 8)]
            .into_iter()
            .for_each(|(routes, files)| measure(routes, files)),
    }
}

fn measure(routes: usize, files: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("gateway.yaml"), GATEWAY).expect("written");
    for file in 0..files {
        write_routes(directory.path(), file, routes / files, 0);
    }
    let mut loader = Loader::new(directory.path(), None);
    let facts = HostFacts::default();
    let start = Instant::now();
    let set = loader.load();
    let loaded = start.elapsed();
    let translation = translate(&set, &facts);
    println!(
        "{routes} routes in {files} files: first load {loaded:?}, with translation {:?}",
        start.elapsed()
    );
    assert_eq!(translation.statuses.len(), routes + 2, "{:?}", translation.diagnostics.first());
    let mut best: Option<[f64; 2]> = None;
    for round in 1..=ROUNDS {
        write_routes(directory.path(), round % files, routes / files, round);
        let start = Instant::now();
        let set = loader.load();
        let loaded = start.elapsed().as_secs_f64() * 1e3;
        let translation = translate(&set, &facts);
        let total = start.elapsed().as_secs_f64() * 1e3;
        assert_eq!(translation.statuses.len(), routes + 2);
        if best.is_none_or(|[load, translate]| total < load + translate) {
            best = Some([loaded, total - loaded]);
        }
    }
    let [load, translate] = best.expect("there were rounds");
    println!("  one file changed, best of {ROUNDS}: load {load:.1} ms, translate {translate:.1} ms");
}

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ours}
spec: {controllerName: gateway.internal/appliance}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: eg}
spec: {gatewayClassName: ours, listeners: [{name: http, protocol: HTTP, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: svc}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: svc-1, labels: {kubernetes.io/service-name: svc}}
addressType: IPv4
ports: [{port: 9000}]
endpoints: [{addresses: [127.0.0.1]}]
";

/// Routes in the style of the founding example: two rules, each with a regular expression.
fn write_routes(directory: &Path, file: usize, count: usize, stamp: usize) {
    let mut text = String::new();
    for route in file * count..(file + 1) * count {
        let changed = if route == file * count { stamp } else { 0 };
        write!(
            text,
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: route-{route}
spec:
  parentRefs:
    - name: eg
  hostnames: [r{route}.example.com]
  rules:
    - matches:
        - path:
            type: RegularExpression
            value: /tea/v{changed}/[A-Z0-9]+.*
      backendRefs:
        - name: svc
          port: 80
    - matches:
        - path:
            type: RegularExpression
            value: /coffee/{route}/[A-Z0-9]+.*
      backendRefs:
        - name: svc
          port: 80
"
        )
        .expect("text grows");
    }
    let (beside, path) = (directory.join("beside"), directory.join(format!("routes-{file}.yaml")));
    fs::write(&beside, text).expect("written");
    fs::rename(beside, path).expect("renamed");
}
