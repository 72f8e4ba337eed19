package fields

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// beyond are fields of ours that the upstream definitions do not have, each with the reason.
var beyond = map[string]string{
	"Gateway.gateway.networking.k8s.io spec.listeners[].tls.frontendValidation":     "its place in Gateway API 1.4 and before",
	"ListenerSet.gateway.networking.k8s.io spec.listeners[].tls.frontendValidation": "its listeners are read as those of a Gateway",
	"ClientTrafficPolicy.gateway.envoyproxy.io spec.headers.maxRequestHeaderLimit":  "newer than the release that is embedded",
}

func listing(t *testing.T) (*Listing, map[Kind]Paths) {
	t.Helper()
	binary := os.Getenv("GATEWAY_BIN")
	if binary == "" {
		t.Fatal("GATEWAY_BIN must name the gateway's executable")
	}
	ours, err := Ours(binary)
	if err != nil {
		t.Fatal(err)
	}
	upstream, err := Upstream()
	if err != nil {
		t.Fatal(err)
	}
	if len(upstream) < 20 {
		t.Fatalf("the module embeds %d definitions only", len(upstream))
	}
	return ours, upstream
}

// TestEveryUpstreamFieldIsKnown fails on a field or kind that is neither served nor said not to be, with a reason.
func TestEveryUpstreamFieldIsKnown(t *testing.T) {
	ours, upstream := listing(t)
	unserved := map[Kind]bool{}
	for _, kind := range ours.UnservedKinds {
		if kind.Reason == "" {
			t.Errorf("%s.%s is not served for no reason", kind.Kind, kind.Group)
		}
		unserved[Kind{kind.Group, kind.Kind}] = true
	}
	for kind, paths := range upstream {
		at := slices.IndexFunc(ours.Kinds, func(m Modelled) bool { return m.Kind == kind.Kind && m.Group == kind.Group })
		if at < 0 {
			if !unserved[kind] {
				t.Errorf("%s is neither modelled nor said to be unserved", kind)
			}
			continue
		}
		known, hidden := Paths{}, []string{}
		for _, field := range ours.Kinds[at].Fields {
			known[field.Path] = true
			if !field.Served {
				if field.Reason == "" {
					t.Errorf("%s %s is not served for no reason", kind, field.Path)
				}
				hidden = append(hidden, field.Path)
			}
		}
		for path := range paths {
			below := func(parent string) bool {
				rest, found := strings.CutPrefix(path, parent)
				return found && rest != "" && strings.Contains(".[{", rest[:1])
			}
			if !known[path] && !slices.ContainsFunc(hidden, below) {
				t.Errorf("%s %s is neither modelled nor said to be unserved", kind, path)
			}
		}
	}
}

// TestNoFieldIsInvented fails on a field of an upstream kind that the upstream definition does not have: an API server
// would refuse it.
func TestNoFieldIsInvented(t *testing.T) {
	ours, upstream := listing(t)
	for _, modelled := range ours.Kinds {
		kind := Kind{modelled.Group, modelled.Kind}
		paths, found := upstream[kind]
		if !found {
			continue
		}
		for _, field := range modelled.Fields {
			name := kind.String() + " " + field.Path
			if !paths[field.Path] && beyond[name] == "" {
				t.Errorf("%s is in no upstream definition", name)
			}
		}
	}
}
