package fields

import (
	"bytes"
	"fmt"

	envoygateway "github.com/envoyproxy/gateway"
	"go.yaml.in/yaml/v3"
)

// A Kind is named by its group and kind.
type Kind struct {
	Group, Kind string
}

func (k Kind) String() string { return k.Kind + "." + k.Group }

// Paths are those of fields, from the document's root, with `[]` for any element of a list and `{}` for any value of a
// mapping with free keys.
type Paths map[string]bool

type definition struct {
	Kind string
	Spec struct {
		Group    string
		Names    struct{ Kind string }
		Versions []struct {
			Served bool
			Schema struct {
				OpenAPIV3Schema schema `yaml:"openAPIV3Schema"`
			}
		}
	}
}

type schema struct {
	Properties           map[string]schema
	Items                *schema
	AdditionalProperties *schema `yaml:"additionalProperties"`
}

// Upstream lists the fields below `spec` of every resource definition, over its served versions.
func Upstream() (map[Kind]Paths, error) {
	kinds := map[Kind]Paths{}
	for _, document := range bytes.Split(envoygateway.GatewayCRDs, []byte("\n---")) {
		var crd definition
		if err := yaml.Unmarshal(document, &crd); err != nil {
			return nil, fmt.Errorf("a definition is no YAML: %w", err)
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		paths := Paths{}
		for _, version := range crd.Spec.Versions {
			if spec, found := version.Schema.OpenAPIV3Schema.Properties["spec"]; found && version.Served {
				paths["spec"] = true
				spec.members("spec", paths)
			}
		}
		kinds[Kind{crd.Spec.Group, crd.Spec.Names.Kind}] = paths
	}
	return kinds, nil
}

func (s schema) members(path string, into Paths) {
	for name, property := range s.Properties {
		into[path+"."+name] = true
		property.members(path+"."+name, into)
	}
	if s.Items != nil {
		s.Items.members(path+"[]", into)
	}
	if s.AdditionalProperties != nil {
		s.AdditionalProperties.members(path+"{}", into)
	}
}
