package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"gateway.internal/conformance/apiserver"
)

// Directory holds one manifest per object: KIND.GROUP/NAMESPACE/NAME.json.
type Directory struct {
	root string
}

// NewDirectory writes below an existing directory.
func NewDirectory(root string) *Directory { return &Directory{root: root} }

// Put writes an object's manifest, whole: a reader sees the old text or the new one.
func (d *Directory) Put(key apiserver.Key, stored apiserver.Stored) error {
	text, err := manifest(stored).MarshalJSON()
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", key, err)
	}
	path := d.path(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// A name with a dot in front is not a manifest.
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Remove removes an object's manifest, if there is one.
func (d *Directory) Remove(key apiserver.Key) error {
	if err := os.Remove(d.path(key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *Directory) path(key apiserver.Key) string {
	kind := schema.GroupKind{Group: key.Group, Kind: key.Kind}.String()
	return filepath.Join(d.root, kind, key.Namespace, fileName(key.Name))
}

// longest is the most bytes of an object's name in a file's name: file systems take 255, a dot and .json included.
const longest = 249

// fileName is the name of an object's file. A name that no file can have is shortened; its digest keeps it apart.
func fileName(name string) string {
	if len(name) > longest {
		digest := sha256.Sum256([]byte(name))
		name = name[:longest-33] + "-" + hex.EncodeToString(digest[:16])
	}
	return name + ".json"
}

// manifest is what the user has sent, with the metadata that the server keeps and without a status.
func manifest(stored apiserver.Stored) *unstructured.Unstructured {
	text := stored.Submitted.DeepCopy()
	delete(text.Object, "status")
	text.SetAPIVersion(apiVersion(stored))
	text.SetKind(stored.Object.GetKind())
	text.SetManagedFields(nil)
	text.SetResourceVersion("")
	text.SetNamespace(stored.Object.GetNamespace())
	text.SetLabels(stored.Object.GetLabels())
	text.SetUID(stored.Object.GetUID())
	text.SetGeneration(stored.Object.GetGeneration())
	text.SetCreationTimestamp(stored.Object.GetCreationTimestamp())
	return text
}

// apiVersion is the one that the user wrote the object in; clients with Go types leave it out.
func apiVersion(stored apiserver.Stored) string {
	if version := stored.Submitted.GetAPIVersion(); version != "" {
		return version
	}
	return stored.Object.GetAPIVersion()
}
