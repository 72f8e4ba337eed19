package apiserver

import (
	"encoding/base64"
	"reflect"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// create stores a new object: 409 if there is one, 404 if its namespace is missing, 422 if its schema refuses it.
func (s *Server) create(kind *kind, version string, submitted *unstructured.Unstructured, agent string) (*unstructured.Unstructured, error) {
	object := submitted.DeepCopy()
	if object.GetName() == "" {
		return nil, apierrors.NewBadRequest("metadata.name is required")
	}
	if kind.hasStatus {
		delete(object.Object, "status")
	}
	key := kind.key(object.GetNamespace(), object.GetName())
	s.mutex.Lock()
	err := s.createLocked(kind, version, key, object, submitted)
	s.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	s.tell(Event{Key: key, Change: Created, Agent: agent})
	return object, nil
}

func (s *Server) createLocked(kind *kind, version string, key Key, object, submitted *unstructured.Unstructured) error {
	if _, exists := s.objects[key]; exists {
		return apierrors.NewAlreadyExists(kind.groupResource(), key.Name)
	}
	if kind.namespaced {
		if _, exists := s.objects[Key{Kind: "Namespace", Name: key.Namespace}]; !exists {
			return apierrors.NewNotFound(runtimeschema.GroupResource{Resource: "namespaces"}, key.Namespace)
		}
	}
	object.SetManagedFields(nil)
	object.SetUID(types.UID(uuid.NewString()))
	object.SetCreationTimestamp(metav1.NewTime(s.now().UTC().Truncate(1e9)))
	object.SetGeneration(0)
	if kind.countsGenerations {
		object.SetGeneration(1)
	}
	if err := kind.finish(version, object, nil); err != nil {
		return err
	}
	object.SetResourceVersion(s.nextRevision())
	s.objects[key] = &entry{object: object, submitted: submitted}
	return nil
}

// update replaces an object by what a user has sent, but for its status and what is the server's in its metadata: 409
// if they have seen another version of it.
func (s *Server) update(kind *kind, version string, key Key, submitted *unstructured.Unstructured, agent string) (*unstructured.Unstructured, error) {
	return s.change(kind, version, key, agent, Updated, func(old *entry) (*unstructured.Unstructured, *unstructured.Unstructured, error) {
		return keepOurs(kind, old.object, submitted.DeepCopy()), submitted, nil
	})
}

// updateStatus replaces the status of an object, and nothing else.
func (s *Server) updateStatus(kind *kind, version string, key Key, sent *unstructured.Unstructured, agent string) (*unstructured.Unstructured, error) {
	return s.change(kind, version, key, agent, StatusUpdated, func(old *entry) (*unstructured.Unstructured, *unstructured.Unstructured, error) {
		object := old.object.DeepCopy()
		object.SetResourceVersion(sent.GetResourceVersion())
		object.Object["status"] = sent.DeepCopy().Object["status"]
		return object, old.submitted, nil
	})
}

// change replaces an object by what edit gives for it: the new object and what the user is taken to have sent.
func (s *Server) change(
	kind *kind, version string, key Key, agent string, change Change,
	edit func(*entry) (object, submitted *unstructured.Unstructured, err error),
) (*unstructured.Unstructured, error) {
	s.mutex.Lock()
	old, exists := s.objects[key]
	if !exists {
		s.mutex.Unlock()
		return nil, apierrors.NewNotFound(kind.groupResource(), key.Name)
	}
	object, submitted, err := edit(old)
	var changed bool
	if err == nil {
		changed, err = s.store(kind, version, old, object, submitted)
	}
	now := s.objects[key].object
	s.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	if changed {
		s.tell(Event{Key: key, Change: change, Agent: agent})
	}
	return now, nil
}

// store puts an object in the place of another, under the lock. An object that is as before changes nothing, its
// revision included.
func (s *Server) store(kind *kind, version string, old *entry, object, submitted *unstructured.Unstructured) (bool, error) {
	key := kind.key(object.GetNamespace(), object.GetName())
	seen := object.GetResourceVersion()
	if seen != "" && seen != old.object.GetResourceVersion() {
		return false, apierrors.NewConflict(kind.groupResource(), key.Name, errModified)
	}
	if err := kind.finish(version, object, old.object); err != nil {
		return false, err
	}
	if kind.countsGenerations && !reflect.DeepEqual(kind.desired(object), kind.desired(old.object)) {
		object.SetGeneration(old.object.GetGeneration() + 1)
	}
	object.SetResourceVersion(old.object.GetResourceVersion())
	if reflect.DeepEqual(object, old.object) {
		return false, nil
	}
	object.SetResourceVersion(s.nextRevision())
	s.objects[key] = &entry{object: object, submitted: submitted}
	return true, nil
}

// remove deletes an object; with a namespace goes all that is in it.
func (s *Server) remove(kind *kind, key Key, agent string) (*unstructured.Unstructured, error) {
	s.mutex.Lock()
	old, exists := s.objects[key]
	if !exists {
		s.mutex.Unlock()
		return nil, apierrors.NewNotFound(kind.groupResource(), key.Name)
	}
	delete(s.objects, key)
	events := []Event{{Key: key, Change: Deleted, Agent: agent}}
	if kind.group == "" && kind.name == "Namespace" {
		for inside := range s.objects {
			if inside.Namespace == key.Name {
				delete(s.objects, inside)
				events = append(events, Event{Key: inside, Change: Deleted, Agent: agent})
			}
		}
	}
	s.mutex.Unlock()
	s.tell(events...)
	return old.object, nil
}

// keepOurs carries over what a user cannot change by writing to the object itself.
func keepOurs(kind *kind, old, object *unstructured.Unstructured) *unstructured.Unstructured {
	object.SetManagedFields(nil)
	object.SetUID(old.GetUID())
	object.SetCreationTimestamp(old.GetCreationTimestamp())
	object.SetGeneration(old.GetGeneration())
	if kind.hasStatus {
		delete(object.Object, "status")
		if status, has := old.DeepCopy().Object["status"]; has {
			object.Object["status"] = status
		}
	}
	return object
}

// finish does to an object what the server does before it stores it, and checks it.
func (k *kind) finish(version string, object, old *unstructured.Unstructured) error {
	object.SetAPIVersion(k.apiVersion(version))
	object.SetKind(k.name)
	switch k.name {
	case "Namespace":
		labels := object.GetLabels()
		if labels == nil {
			labels = make(map[string]string)
		}
		labels["kubernetes.io/metadata.name"] = object.GetName()
		object.SetLabels(labels)
	case "Secret":
		encode(object)
	}
	written := k.schemas[version]
	if written == nil {
		return nil
	}
	written.complete(object.Object)
	var before map[string]any
	if old != nil {
		before = old.Object
	}
	if wrong := written.check(object.Object, before); len(wrong) > 0 {
		return apierrors.NewInvalid(k.groupKind(), object.GetName(), wrong)
	}
	return nil
}

// desired is what, when changed, makes a new generation: all but the metadata, and but the status where it is apart.
func (k *kind) desired(object *unstructured.Unstructured) map[string]any {
	rest := make(map[string]any, len(object.Object))
	for field, value := range object.Object {
		if field == "metadata" || field == "apiVersion" || field == "status" && k.hasStatus {
			continue
		}
		rest[field] = value
	}
	return rest
}

// encode moves the stringData of a Secret into its data.
func encode(secret *unstructured.Unstructured) {
	texts, _, err := unstructured.NestedStringMap(secret.Object, "stringData")
	if err != nil || len(texts) == 0 {
		return
	}
	data, ok := secret.Object["data"].(map[string]any)
	if !ok {
		data = make(map[string]any)
	}
	for name, text := range texts {
		data[name] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	secret.Object["data"] = data
	delete(secret.Object, "stringData")
}

func versionOf(object *unstructured.Unstructured) string {
	return object.GroupVersionKind().Version
}
