//! The kernel half on two floors: programs run on bytes by BPF_PROG_TEST_RUN and held against the same functions
//! on the host, and programs at work between two network namespaces.

mod counting;
mod degraded;
mod differential;
mod events;
mod foreign;
mod handshake;
mod heading;
mod migration;
mod object;
mod pinning;
mod policing;
mod policy;
mod programs;
mod refusing;
mod reset;
mod site;
mod tap;
mod upkeep;
mod verdict;
