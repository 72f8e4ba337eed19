package apiserver

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// Key names an object. Versions of a kind share their objects.
type Key struct {
	// Group is empty for the core kinds.
	Group string
	// Kind is as in a manifest: Gateway.
	Kind string
	// Namespace is empty for cluster-scoped kinds.
	Namespace string
	// Name is metadata.name.
	Name string
}

// String gives Kind.group namespace/name, as the status files of the gateway are called.
func (k Key) String() string {
	kind := runtimeschema.GroupKind{Group: k.Group, Kind: k.Kind}.String()
	if k.Namespace == "" {
		return fmt.Sprintf("%s %s", kind, k.Name)
	}
	return fmt.Sprintf("%s %s/%s", kind, k.Namespace, k.Name)
}

// Change is what has happened to an object.
type Change string

// The changes that observers are told of.
const (
	// Created: the object is new.
	Created Change = "created"
	// Updated: something outside its status is other than before.
	Updated Change = "updated"
	// StatusUpdated: only its status is other than before.
	StatusUpdated Change = "status"
	// Deleted: the object is gone.
	Deleted Change = "deleted"
)

// Event tells of one change, after it has happened.
type Event struct {
	// Key names the object.
	Key Key
	// Change says what has happened.
	Change Change
	// Agent is the User-Agent of the request; empty for a change from within the harness.
	Agent string
}

// Stored is one object, as it is read and as it was sent. Both are copies.
type Stored struct {
	// Object is complete: defaulted, pruned, with the server's metadata and its status.
	Object *unstructured.Unstructured
	// Submitted is what the user has last sent, with their patches applied, and nothing added to it.
	Submitted *unstructured.Unstructured
}
