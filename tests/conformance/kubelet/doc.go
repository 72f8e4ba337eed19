// Package kubelet does what a cluster's nodes and controllers do for a conformance suite: it makes the Pods of
// Deployments, runs each as a real process in a network namespace of its own, with an address of its own, marks it
// ready when it listens, keeps its log, and writes the EndpointSlices of Services.
//
// It needs iproute2 and nsenter, and the right to make network namespaces; the bridge that joins the Pods is made in
// the namespace that the caller is in, which should be one for this purpose alone.
package kubelet
