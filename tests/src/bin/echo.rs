//! The echo backend as a program: `echo --name tea-svc --listen 127.0.0.1:9101`.

use std::net::TcpListener;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut name = "echo".to_owned();
    let mut listen = "127.0.0.1:9101".to_owned();
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--name" => name = value,
            "--listen" => listen = value,
            _ => anyhow::bail!("unknown flag {flag}: --name NAME and --listen ADDRESS:PORT are known"),
        }
    }
    let listener = TcpListener::bind(&listen).with_context(|| format!("cannot listen on {listen}"))?;
    e2e::echo::serve(listener, &name);
    loop {
        std::thread::park();
    }
}
