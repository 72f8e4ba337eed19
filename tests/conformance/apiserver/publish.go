package apiserver

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Publish stores an object that a controller has made: a new one, or in the place of the one that it has made before.
// Where its namespace is gone, nothing is stored.
func (s *Server) Publish(object *unstructured.Unstructured) error {
	version := object.GroupVersionKind()
	kind := s.kindNamed(version.Group, version.Kind)
	if kind == nil {
		return s.refuse("the kind %s", version.Kind)
	}
	key := kind.key(object.GetNamespace(), object.GetName())
	_, err := s.update(kind, version.Version, key, object, "")
	if apierrors.IsNotFound(err) {
		_, err = s.create(kind, version.Version, object, "")
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Withdraw removes an object that a controller has made, if it is still there.
func (s *Server) Withdraw(key Key) error {
	kind := s.kindNamed(key.Group, key.Kind)
	if kind == nil {
		return s.refuse("the kind %s", key.Kind)
	}
	if _, err := s.remove(kind, key, ""); !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}
