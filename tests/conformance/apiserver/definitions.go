package apiserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Install serves the kinds of every CustomResourceDefinition among the YAML files of a directory, and the definitions
// themselves, as after `kubectl apply -f directory`. Files hold one document each; those of other kinds are passed over.
func (s *Server) Install(directory string) error {
	files, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil {
		return err
	}
	before := len(s.kinds)
	for _, file := range files {
		if err := s.installFile(file); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	if len(s.kinds) == before {
		return errors.New("no CustomResourceDefinition: is the module's source in the module cache?")
	}
	return nil
}

func (s *Server) installFile(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return err
	}
	if definition.Kind != "CustomResourceDefinition" {
		return nil
	}
	kind, err := kindOf(&definition)
	if err != nil {
		return err
	}
	var object unstructured.Unstructured
	tree, err := yaml.YAMLToJSON(text)
	if err != nil {
		return err
	}
	if err := object.UnmarshalJSON(tree); err != nil {
		return err
	}
	s.kinds = append(s.kinds, kind)
	_, err = s.create(s.kindNamed("apiextensions.k8s.io", "CustomResourceDefinition"), "v1", &object, "")
	return err
}

func kindOf(definition *apiextensionsv1.CustomResourceDefinition) (*kind, error) {
	spec := &definition.Spec
	kind := &kind{
		group:             spec.Group,
		name:              spec.Names.Kind,
		plural:            spec.Names.Plural,
		namespaced:        spec.Scope == apiextensionsv1.NamespaceScoped,
		countsGenerations: true,
		schemas:           make(map[string]*schema),
	}
	for _, version := range spec.Versions {
		if !version.Served {
			continue
		}
		compiled, err := newSchema(version.Schema.OpenAPIV3Schema)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", strings.ToLower(kind.name), version.Name, err)
		}
		kind.versions = append(kind.versions, version.Name)
		kind.schemas[version.Name] = compiled
		kind.hasStatus = kind.hasStatus || version.Subresources != nil && version.Subresources.Status != nil
	}
	return kind, nil
}
