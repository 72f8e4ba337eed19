// Package conformance runs the official Gateway API conformance suite against the real gateway, without a cluster.
//
// The suite is a module that is imported, and not edited. What it talks to is package apiserver, in this process; what
// it sends requests to is the gateway, a process, which reads what package mirror writes and whose statuses package
// mirror brings back; what answers are the official echo servers, processes too, which package kubelet runs. Nothing
// in between makes up a status. `cargo xtask conformance` builds and starts all of it.
package conformance
