//! Tries inputs until the time is over or one breaks a target.

use std::{
    collections::HashSet,
    panic,
    path::Path,
    time::{Duration, Instant},
};

use crate::{corpus, mutate::mutate, random::Random, target::Target};

/// Inputs between two looks at the clock.
const ROUND: usize = 256;

/// Inputs that joined the corpus of a run; more would make each rarer.
const MAX_JOINED: usize = 4096;

/// Mutates the corpus of `target` for that long. `true` if nothing broke.
pub fn run(target: Target, duration: Duration, seed: u64) -> bool {
    let start = Instant::now();
    panic::set_hook(Box::new(|_| {}));
    let mut random = Random::new(seed);
    let mut inputs = corpus::seeds(target);
    println!("{}: seed {seed}, {} inputs, {} s", target.name(), inputs.len(), duration.as_secs());
    let mut answers = HashSet::new();
    for input in &inputs {
        match attempt(target, input) {
            Ok(answer) => drop(answers.insert(answer)),
            Err(problem) => return fail(target, input, &problem),
        }
    }
    let most = inputs.len() + MAX_JOINED;
    let mut tried = inputs.len();
    loop {
        for _ in 0..ROUND {
            let (one, other) = (random.below(inputs.len()), random.below(inputs.len()));
            let input = mutate(&inputs[one], &inputs[other], target.dictionary(), &mut random);
            match attempt(target, &input) {
                Err(problem) => return fail(target, &input, &problem),
                Ok(answer) => {
                    if answers.insert(answer) && inputs.len() < most {
                        inputs.push(input);
                    }
                }
            }
        }
        tried += ROUND;
        if start.elapsed() >= duration {
            println!("{}: {tried} inputs, {} kinds of answers, none broken", target.name(), answers.len());
            return true;
        }
    }
}

/// Tries the input of one file. `true` if nothing broke.
pub fn replay(target: Target, path: &Path) -> bool {
    let input = match std::fs::read(path) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return false;
        }
    };
    match attempt(target, &input) {
        Ok(answer) => println!("{}: {answer}", target.name()),
        Err(problem) => eprintln!("{}: {problem}", target.name()),
    }
    attempt(target, &input).is_ok()
}

/// The answer, or what broke.
fn attempt(target: Target, input: &[u8]) -> Result<String, String> {
    panic::catch_unwind(|| target.check(input)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Cuts the input down as long as it breaks the target, and keeps it.
fn fail(target: Target, input: &[u8], problem: &str) -> bool {
    let mut input = input.to_vec();
    let mut length = input.len() / 2;
    while length > 0 {
        let mut place = 0;
        while place + length <= input.len() {
            let mut shorter = input.clone();
            shorter.drain(place..place + length);
            if attempt(target, &shorter).is_err() {
                input = shorter;
            } else {
                place += length;
            }
        }
        length /= 2;
    }
    let path = corpus::keep(target, &input);
    let problem = attempt(target, &input).err().unwrap_or_else(|| problem.to_owned());
    eprintln!("{}: {problem}\n\"{}\"\nis kept in {}", target.name(), input.escape_ascii(), path.display());
    false
}
