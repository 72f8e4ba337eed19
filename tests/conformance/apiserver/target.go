package apiserver

import "strings"

// target is what the path of a request names.
type target struct {
	group, version, resource string
	// namespace is empty for cluster-scoped kinds and for lists over all namespaces.
	namespace string
	// name is empty for a collection.
	name string
	// subresource is empty for the object itself.
	subresource string
}

// parseTarget reads /api/VERSION/... and /apis/GROUP/VERSION/..., the two roots of the API's paths.
func parseTarget(path string) (target, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var target target
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		target.version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		target.group, target.version, parts = parts[1], parts[2], parts[3:]
	default:
		return target, false
	}
	// Namespaces are objects too: /namespaces/NAME and /namespaces/NAME/status are theirs.
	if parts[0] == "namespaces" && len(parts) >= 3 && parts[2] != "status" {
		target.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 3 {
		return target, false
	}
	for place, part := range parts {
		*[]*string{&target.resource, &target.name, &target.subresource}[place] = part
	}
	return target, true
}

// shape is the target without its names, for messages.
func (t target) shape() string {
	shape := t.resource
	if t.group != "" {
		shape = t.group + "/" + shape
	}
	if t.name != "" {
		shape += "/NAME"
	}
	if t.subresource != "" {
		shape += "/" + t.subresource
	}
	return shape
}
