// Package fields holds the fields that gateway knows against those of the upstream resource definitions: Gateway API's
// and Envoy Gateway's, as the module of the latter embeds them. It is a module of its own, because that module would
// raise the versions that the conformance suite is pinned to.
package fields
