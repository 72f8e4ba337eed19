// Package apiserver stands in for a Kubernetes API server, in this process: a [Server] is an [http.RoundTripper], so
// that any client of the API works against it without a socket.
//
// It serves what a conformance suite asks for: about twenty kinds, the verbs create, get, list, update, merge patch
// and delete, the subresources status and log. Objects of a CustomResourceDefinition are defaulted, pruned and
// validated (structural schema, list types, CEL rules) by the very schemas that a cluster would be given, with the
// libraries that a cluster uses for it. Whatever is asked for beyond that is refused and remembered, see
// [Server.Unserved]: a suite that needs more must not fail for a reason that looks like the gateway's.
//
// No condition, count or address is made up here, but for the defaults that a schema gives a status.
package apiserver
