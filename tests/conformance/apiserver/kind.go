package apiserver

import (
	"slices"

	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is one resource that is served.
type kind struct {
	group, name, plural string
	// versions are served alike, and share their objects.
	versions   []string
	namespaced bool
	// hasStatus: status is a subresource, which nobody writes by the way.
	hasStatus bool
	// countsGenerations: metadata.generation rises with every change outside metadata and status.
	countsGenerations bool
	// schemas by version; empty for the kinds that are built in, which are stored as they are sent.
	schemas map[string]*schema
}

// builtIn are the kinds of a cluster that a suite and the harness itself use, without their schemas.
func builtIn() []*kind {
	core := func(name, plural string) *kind {
		return &kind{name: name, plural: plural, versions: []string{"v1"}, namespaced: true}
	}
	namespace := core("Namespace", "namespaces")
	namespace.namespaced = false
	pod := core("Pod", "pods")
	pod.hasStatus = true
	deployment := core("Deployment", "deployments")
	deployment.group, deployment.hasStatus, deployment.countsGenerations = "apps", true, true
	slice := core("EndpointSlice", "endpointslices")
	slice.group, slice.countsGenerations = "discovery.k8s.io", true
	definition := core("CustomResourceDefinition", "customresourcedefinitions")
	definition.group, definition.namespaced = "apiextensions.k8s.io", false
	return []*kind{
		namespace, pod, deployment, slice, definition,
		core("Service", "services"),
		core("Secret", "secrets"),
		core("ConfigMap", "configmaps"),
		core("ServiceAccount", "serviceaccounts"),
	}
}

func (k *kind) serves(version string) bool { return slices.Contains(k.versions, version) }

func (k *kind) groupResource() runtimeschema.GroupResource {
	return runtimeschema.GroupResource{Group: k.group, Resource: k.plural}
}

func (k *kind) groupKind() runtimeschema.GroupKind {
	return runtimeschema.GroupKind{Group: k.group, Kind: k.name}
}

func (k *kind) apiVersion(version string) string {
	return runtimeschema.GroupVersion{Group: k.group, Version: version}.String()
}

func (k *kind) key(namespace, name string) Key {
	return Key{Group: k.group, Kind: k.name, Namespace: namespace, Name: name}
}
