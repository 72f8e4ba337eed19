package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"gateway.internal/conformance/apiserver"
)

// serviceFiles are the Services that a gateway writes down for its Gateways, and which of them the server has.
type serviceFiles struct {
	root string
	told map[apiserver.Key]string
}

// read gives the text and the content of every file.
func (s *serviceFiles) read() (texts map[apiserver.Key]string, objects map[apiserver.Key]*unstructured.Unstructured, err error) {
	texts = make(map[apiserver.Key]string)
	objects = make(map[apiserver.Key]*unstructured.Unstructured)
	err = filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".json" {
			return ignoreVanished(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return ignoreVanished(err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			return fmt.Errorf("cannot read the service file %s: %w", path, err)
		}
		key := apiserver.Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
		texts[key], objects[key] = string(text), object
		return nil
	})
	return texts, objects, err
}

// bringServices makes the server's Services of the gateway those that it has written down, as they are.
func (m *Mirror) bringServices() error {
	texts, objects, err := m.services.read()
	for key := range m.services.told {
		if _, ok := texts[key]; !ok && err == nil {
			err = errors.Join(err, m.server.Withdraw(key))
			delete(m.services.told, key)
		}
	}
	for key, text := range texts {
		if m.services.told[key] == text {
			continue
		}
		// What the gateway has made is not given to it.
		m.mutex.Lock()
		m.made[key] = true
		m.mutex.Unlock()
		if problem := m.server.Publish(objects[key]); problem != nil {
			err = errors.Join(err, fmt.Errorf("the %s that the gateway has written down is refused: %w", key, problem))
		}
		m.services.told[key] = text
	}
	return err
}
