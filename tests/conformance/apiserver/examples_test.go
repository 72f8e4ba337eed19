package apiserver_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestTheExamplesOfTheAPIAreAcceptedAndItsInvalidOnesRefused runs over the examples in the source of the API: what a
// cluster takes and what it does not.
func TestTheExamplesOfTheAPIAreAcceptedAndItsInvalidOnesRefused(t *testing.T) {
	world := newWorld(t)
	root := filepath.Join(definitions(t), "..", "..", "..")
	refused, accepted := 0, 0
	for _, file := range files(t, filepath.Join(root, "hack", "invalid-examples")) {
		wrong := 0
		for _, object := range documents(t, file) {
			if world.isRefused(object) {
				wrong++
			}
		}
		require.NotZero(t, wrong, "nothing in %s is refused", file)
		refused++
	}
	for _, file := range files(t, filepath.Join(root, "examples")) {
		for _, object := range documents(t, file) {
			require.False(t, world.isRefused(object), "%s of %s is refused", object.GetName(), file)
			accepted++
		}
	}
	require.Greater(t, refused, 30)
	require.Greater(t, accepted, 90)
}

// isRefused tells whether an object of a Gateway API kind is; others are not tried.
func (w *world) isRefused(object *unstructured.Unstructured) bool {
	w.t.Helper()
	if object.GroupVersionKind().Group != group {
		return false
	}
	if object.GetNamespace() == "" {
		object.SetNamespace("default")
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: object.GetNamespace()}}
	if err := w.client.Create(context.Background(), namespace); err != nil {
		require.True(w.t, apierrors.IsAlreadyExists(err), "%v", err)
	}
	err := w.client.Create(context.Background(), object)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		require.True(w.t, apierrors.IsInvalid(err), "%s: %v", object.GetName(), err)
		return true
	}
	return false
}

func files(t *testing.T, root string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".yaml" {
			files = append(files, path)
		}
		return err
	}))
	return files
}

func documents(t *testing.T, file string) (objects []*unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, document := range bytes.Split(text, []byte("\n---")) {
		var tree map[string]any
		require.NoError(t, yaml.Unmarshal(document, &tree))
		if tree != nil {
			objects = append(objects, &unstructured.Unstructured{Object: tree})
		}
	}
	return objects
}
