package apiserver

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// schema is what one version of a CustomResourceDefinition says about its objects.
type schema struct {
	structural *structural.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

// newSchema compiles a schema, its CEL rules included.
func newSchema(written *apiextensionsv1.JSONSchemaProps) (*schema, error) {
	var internal apiextensions.JSONSchemaProps
	err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(written, &internal, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot convert the schema: %w", err)
	}
	tree, err := structural.NewStructural(&internal)
	if err != nil {
		return nil, fmt.Errorf("the schema is not structural: %w", err)
	}
	values, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return nil, fmt.Errorf("cannot compile the schema: %w", err)
	}
	return &schema{structural: tree, values: values, rules: cel.NewValidator(tree, true, celconfig.PerCallLimit)}, nil
}

// complete drops what the schema does not know and nulls where it knows none, and fills in what it has defaults for, in
// a cluster's order.
func (s *schema) complete(object map[string]any) {
	pruning.Prune(object, s.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)
	defaulting.Default(object, s.structural)
}

// check says what is wrong with an object; old is what it replaces, nil for a new one.
func (s *schema) check(object, old map[string]any) field.ErrorList {
	if old == nil {
		wrong := validation.ValidateCustomResource(nil, object, s.values)
		return append(wrong, s.checkMore(object, nil)...)
	}
	wrong := validation.ValidateCustomResourceUpdate(nil, object, old, s.values)
	return append(wrong, s.checkMore(object, old)...)
}

func (s *schema) checkMore(object, old map[string]any) field.ErrorList {
	wrong := listtype.ValidateListSetsAndMaps(nil, s.structural, object)
	// The old object of transition rules must be an untyped nil where there is none.
	var before any
	if old != nil {
		before = old
	}
	rules, _ := s.rules.Validate(context.Background(), nil, s.structural, object, before, celconfig.RuntimeCELCostBudget)
	return append(wrong, rules...)
}
