//! `cargo xtask bench routes`: what 10,000 HTTPRoutes in 1,000 files cost: from cold, when one file changes, in memory, and
//! per request.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::step;

const ROUTES: usize = 10_000;
const FILES: usize = 1_000;

/// Checks from cold, changes of one file, and requests at a time.
const COLD: usize = 5;
const CHANGES: usize = 20;
const REQUESTS: u32 = 40_000;

/// Nothing that works takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user's ticks of processor time in a second.
const TICK: Duration = Duration::from_millis(10);

/// Measures the release build; gives the table.
pub fn measure() -> Result<String> {
    let place = step::target().join("bench-routes");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    let mut table = format!("{ROUTES} HTTPRoutes with two expressions each, in {FILES} files.\n\n");
    table.push_str("| | median | best |\n| --- | ---: | ---: |\n");
    let many = place.join("many");
    write_all(&many, ROUTES, FILES)?;
    let cold: Vec<Vec<(String, f64)>> = (0..COLD).map(|_| check(&many)).collect::<Result<_>>()?;
    for (row, (name, _)) in cold.first().context("there are rounds")?.iter().enumerate() {
        let values = cold.iter().map(|round| round[row].1).collect();
        line(&mut table, &format!("cold: {name}"), values)?;
    }
    let mut gateway = Gateway::start(&place, &many)?;
    let mut changes: Vec<Vec<(String, f64)>> = Vec::new();
    for number in 1..=CHANGES {
        changes.push(gateway.change(&many, number)?);
    }
    for (row, (name, _)) in changes.first().context("there are changes")?.iter().enumerate() {
        let values = changes.iter().map(|round| round[row].1).collect();
        line(&mut table, &format!("one file: {name}"), values)?;
    }
    line(&mut table, "serving: memory at most (MiB)", vec![gateway.peak_memory()?])?;
    let with_many = gateway.requests()?;
    drop(gateway);
    let few = place.join("few");
    write_all(&few, 10, 1)?;
    let with_few = Gateway::start(&place, &few)?.requests()?;
    line(&mut table, "a request with 10 routes, processor (us)", with_few)?;
    line(&mut table, "a request with 10,000 routes, processor (us)", with_many)?;
    Ok(table)
}

fn line(table: &mut String, name: &str, mut values: Vec<f64>) -> Result<()> {
    values.sort_by(f64::total_cmp);
    let (median, best) = (values[values.len() / 2], values.first().context("a value")?);
    writeln!(table, "| {name} | {median:.1} | {best:.1} |")?;
    Ok(())
}

fn binary() -> PathBuf {
    step::target().join("release/gateway")
}

/// `gateway check --timings`: each line of it.
fn check(directory: &Path) -> Result<Vec<(String, f64)>> {
    let output = Command::new(binary()).arg("check").arg(directory).arg("--timings").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let timings = text.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(' ')?;
        let (value, unit) = rest.trim().split_once(' ')?;
        let unit = unit.split(' ').next()?;
        ["ms", "MiB"].contains(&unit).then(|| Some((format!("{name} ({unit})"), value.parse().ok()?)))?
    });
    let timings: Vec<_> = timings.collect();
    if timings.len() < 6 {
        bail!("`gateway check --timings` said something else:\n{text}");
    }
    Ok(timings)
}

/// A running appliance, which ends with this.
struct Gateway {
    child: Child,
    admin: SocketAddr,
    port: u16,
    state: PathBuf,
}

impl Gateway {
    fn start(place: &Path, config: &Path) -> Result<Self> {
        let (admin, port) = (SocketAddr::from(([127, 0, 0, 1], free_port()?)), free_port()?);
        write_gateway(config, port)?;
        let (state, runtime) = (place.join("state"), place.join("runtime"));
        let _ = (fs::remove_dir_all(&state), fs::remove_dir_all(&runtime));
        fs::create_dir_all(&state)?;
        fs::create_dir_all(&runtime)?;
        let child = Command::new(binary())
            .args(["run", "--workers", "1", "--kernel", "off", "--admin", &admin.to_string()])
            .arg("--config-dir")
            .arg(config)
            .arg("--state-dir")
            .arg(&state)
            .arg("--runtime-dir")
            .arg(&runtime)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the release build")?;
        let gateway = Self { child, admin, port, state: runtime.join("state.json") };
        until("the gateway serves", || gateway.state.exists().then_some(()))?;
        // Files are read again until their time of change is past: not what is measured.
        std::thread::sleep(Duration::from_secs(3));
        Ok(gateway)
    }

    /// Changes one file, and gives what each step of the reload took, and the whole of it as seen from outside.
    fn change(&mut self, config: &Path, number: usize) -> Result<Vec<(String, f64)>> {
        let before = fs::metadata(&self.state)?.modified()?;
        let busy = self.processor_time()?;
        let start = Instant::now();
        write_routes(config, number * 7 % FILES, ROUTES / FILES, number)?;
        let changed = || fs::metadata(&self.state).ok()?.modified().ok().filter(|now| *now != before);
        until("the change is told of", changed)?;
        let seen = start.elapsed();
        std::thread::sleep(Duration::from_millis(500));
        let busy = self.processor_time()?.saturating_sub(busy);
        let mut steps: Vec<(String, f64)> = Vec::new();
        let mut served = 0.0;
        for line in self.page("/metrics")?.lines() {
            let Some(rest) = line.strip_prefix("gateway_config_phase_seconds{phase=\"") else { continue };
            let (name, value) = rest.split_once("\"} ").context("a metric")?;
            let value = value.parse::<f64>()? * 1e3;
            served += if name == "tell" { 0.0 } else { value };
            steps.push((format!("{name} (ms)"), value));
        }
        steps.push(("until it is served (ms)".to_owned(), served));
        steps.push(("until its status is published, from outside (ms)".to_owned(), seen.as_secs_f64() * 1e3));
        steps.push(("processor (ms)".to_owned(), busy.as_secs_f64() * 1e3));
        Ok(steps)
    }

    fn page(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Microseconds of processor time per request, in rounds.
    fn requests(&self) -> Result<Vec<f64>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
        let mut rounds = Vec::new();
        for round in 0..6 {
            let busy = self.processor_time()?;
            for _ in 0..REQUESTS {
                writer.write_all(b"GET /redirected HTTP/1.1\r\nhost: r0.example.com\r\n\r\n")?;
                read_answer(&mut reader)?;
            }
            let busy = self.processor_time()?.saturating_sub(busy);
            if round > 0 {
                rounds.push(busy.as_secs_f64() * 1e6 / f64::from(REQUESTS));
            }
        }
        Ok(rounds)
    }

    fn processor_time(&self) -> Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = text.rsplit(')').next().unwrap_or_default();
        let ticks: u32 =
            after_name.split(' ').skip(12).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
        Ok(TICK * ticks)
    }

    fn peak_memory(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One answer that has no body.
fn read_answer(reader: &mut impl BufRead) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the gateway has closed the connection");
        }
        if line == "\r\n" {
            return Ok(());
        }
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("in vain waited until {what}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn write_all(directory: &Path, routes: usize, files: usize) -> Result<()> {
    fs::create_dir_all(directory)?;
    write_gateway(directory, 8080)?;
    (0..files).try_for_each(|file| write_routes(directory, file, routes / files, 0))
}

fn write_gateway(directory: &Path, port: u16) -> Result<()> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: ours}}
spec: {{controllerName: gateway.internal/appliance}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: eg}}
spec: {{gatewayClassName: ours, listeners: [{{name: http, protocol: HTTP, port: {port}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: svc}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: svc-1, labels: {{kubernetes.io/service-name: svc}}}}
addressType: IPv4
ports: [{{port: 9000}}]
endpoints: [{{addresses: [127.0.0.1]}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: redirected}}
spec:
  parentRefs: [{{name: eg}}]
  hostnames: [r0.example.com]
  rules:
  - matches: [{{path: {{value: /redirected}}}}]
    filters: [{{type: RequestRedirect, requestRedirect: {{hostname: elsewhere.example.com}}}}]
"
    );
    Ok(fs::write(directory.join("gateway.yaml"), text)?)
}

/// Routes in the style of the founding example: two rules, each with an expression. `stamp` changes the first.
fn write_routes(directory: &Path, file: usize, count: usize, stamp: usize) -> Result<()> {
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
        )?;
    }
    let (beside, path) = (directory.join("beside"), directory.join(format!("routes-{file}.yaml")));
    fs::write(&beside, text)?;
    Ok(fs::rename(beside, path)?)
}
